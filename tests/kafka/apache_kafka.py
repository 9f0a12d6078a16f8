"""Apache Kafka, one broker and controller in one JVM.

The jars come from Maven's own repository by `mvn`, once, into a cache outside this tree. Needs Java
17 and Maven. By hand: `python -m tests.kafka.apache_kafka 9092` runs a broker until Ctrl-C.
"""

import base64
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from infrastructure.stream.kafka_connection import KafkaServers, open_client
from infrastructure.stream.kafka_library import KafkaAdminClient, UnknownTopicOrPartitionError
from tests.kafka.processes import free_port, wait_for_kafka

VERSION = "4.1.1"
CACHE = Path.home() / ".cache" / "tallyport-tests" / f"kafka-{VERSION}"

POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tallyport.tests</groupId>
  <artifactId>apache-kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""

SETTINGS = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
log.cleaner.enable=false
"""


def missing() -> str | None:
    """Return why it cannot run here, None if it can; fetches the jars the first time."""
    absent = [name for name in ("java", "mvn") if shutil.which(name) is None]
    if (CACHE / "complete").exists():
        absent = [name for name in absent if name == "java"]
    if absent:
        return f"Apache Kafka needs {' and '.join(absent)}"
    try:
        jars()
    except subprocess.SubprocessError as error:
        return f"Maven cannot get Apache Kafka's jars here: {error}"
    return None


def jars() -> Path:
    """Return the folder with the jars, fetching them if this is the first time."""
    libraries = CACHE / "libs"
    if not (CACHE / "complete").exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        (CACHE / "pom.xml").write_text(POM)
        subprocess.run(
            [
                *("mvn", "-q", "-B", "-f", str(CACHE / "pom.xml")),
                "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies",
                "-DincludeScope=runtime",
                f"-DoutputDirectory={libraries}",
            ],
            check=True,
            timeout=280,
            stdin=subprocess.DEVNULL,
        )
        (CACHE / "complete").touch()
    return libraries


class ApacheKafka:
    """One broker with a log of its own. Keeps its data over a kill."""

    loses_everything = False

    def __init__(self, port: int | None = None) -> None:
        self.port = port or free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="tallyport-kafka-"))
        self._settings = self._folder / "server.properties"
        self._settings.write_text(
            SETTINGS.format(port=self.port, controller=free_port(), data=self._folder / "data")
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._format()

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        with (self._folder / "kafka.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._java("-Xmx384m", "kafka.Kafka", str(self._settings)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for_kafka(self.bootstrap, self._process, self._folder / "kafka.log", seconds=60)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    def wipe(self) -> None:
        """Lose the disk: the next start is a new cluster."""
        self.kill()
        shutil.rmtree(self._folder / "data")
        self._format()

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _format(self) -> None:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        subprocess.run(
            self._java(
                *("kafka.tools.StorageTool", "format", "-t", cluster_id, "-c"),
                str(self._settings),
            ),
            check=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _java(self, *arguments: str) -> list[str]:
        return [
            *("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
            *("-cp", f"{jars()}/*", *arguments),
        ]


def delete_topics(bootstrap: str) -> None:
    """Leave the broker without topics, and return when they are gone."""
    admin = open_client(KafkaServers(bootstrap=bootstrap), KafkaAdminClient)
    try:
        while topics := [name for name in admin.list_topics() if not name.startswith("__")]:
            with contextlib.suppress(UnknownTopicOrPartitionError):
                admin.delete_topics(topics, timeout_ms=5000)
            time.sleep(0.05)
    finally:
        admin.close()


def main() -> None:
    broker = ApacheKafka(int(sys.argv[1]) if len(sys.argv) > 1 else 9092)
    try:
        broker.start()
        print(f"Apache Kafka {VERSION} listens at {broker.bootstrap}; Ctrl-C ends it", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    finally:
        broker.remove()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    main()
