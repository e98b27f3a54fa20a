"""Kafka's classes as the JVM has them when they are loaded, kept in the user's cache: starts take half of the time.

A JVM that is told to writes the cache when it ends (JEP 483, JEP 515), and ignores one that other options or jars made.
`python -m app.local.class_cache` makes it from one start and stop; `make` does that once, in the background. Until it
is there, and without it, everything works as well.
"""

import asyncio
import os
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

from app.local import jars, kafka
from app.local.ports import Ports
from app.local.problems import CannotStart
from app.local.process import Command
from app.local.servers import Server, Servers

WRITE_TIMEOUT_S = 180.0
NICENESS = 19


async def make(file: Path) -> None:
    """Start a broker, stop it, and keep what its JVM writes then; seconds of CPU. Raises CannotStart."""
    part = file.with_suffix(f".{os.getpid()}.part")
    with tempfile.TemporaryDirectory() as name:
        servers = Servers(Path(name), Ports(Path(name), usual=False))
        broker = next(server for server in servers.each() if server.name == "kafka")
        prepare = partial(_told_to_write, broker, part)
        try:
            await servers.start_one(replace(broker, prepare=prepare, start_timeout_s=WRITE_TIMEOUT_S))
        finally:
            await servers.stop()
        if not part.exists():
            said = servers.processes["kafka"].log.read_text()
            raise CannotStart(f"the JVM wrote no cache of its classes: {said[-1000:]}")
    part.rename(file)


def _told_to_write(broker: Server, part: Path) -> Command:
    command = broker.prepare()
    java, *arguments = command.argv
    return replace(command, argv=[java, f"-XX:AOTCacheOutput={part}", *arguments], stop_timeout_s=WRITE_TIMEOUT_S)


if __name__ == "__main__":
    os.nice(NICENESS)
    try:
        jars.class_path()
        if not kafka.class_cache().exists():
            asyncio.run(make(kafka.class_cache()))
    except (jars.NoJars, CannotStart) as error:
        sys.exit(f"Error: {error}")
