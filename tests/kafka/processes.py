"""What the brokers' starters share: a free port, and waiting until a broker answers."""

import socket
import subprocess
import time
from pathlib import Path

from infrastructure.stream.kafka_connection import KafkaServers, open_client
from infrastructure.stream.kafka_library import KafkaAdminClient, KafkaError


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_for_kafka(
    bootstrap: str, process: subprocess.Popen[bytes], log: Path, *, seconds: float
) -> None:
    deadline = time.monotonic() + seconds
    servers = KafkaServers(bootstrap=bootstrap)
    while True:
        if process.poll() is not None or time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"the broker at {bootstrap} did not start:\n{tail}")
        try:
            open_client(servers, KafkaAdminClient).close()
        except (KafkaError, OSError):
            time.sleep(0.05)
        else:
            return
