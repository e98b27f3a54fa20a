"""Makes a cache of Kafka's loaded classes in the user's cache folder: with it Kafka starts in half the time.

The JVM writes the cache when it ends, if an option asks for it (JEP 483, JEP 515), and ignores a cache made with other
options or jars. `python -m app.local.class_cache` makes it by starting and stopping a broker once; `make` runs that
once, in the background. Kafka also starts without the cache, only more slowly.
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
    """Start a broker, stop it, and keep the cache that its JVM writes; costs seconds of CPU. Raises CannotStart."""
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
            raise CannotStart(f"the JVM wrote no class cache: {said[-1000:]}")
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
