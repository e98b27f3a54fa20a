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
from app.local.process import Process
from app.local.ready import kafka_answers, wait_ready

WRITE_TIMEOUT_S = 180.0
NICENESS = 19


async def make(file: Path) -> None:
    """Start a broker, stop it, and keep what its JVM writes then; seconds of CPU. Raises CannotStart."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ports, part = Ports(folder, usual=False), file.with_suffix(f".{os.getpid()}.part")
        port = ports.get("kafka")
        command = await asyncio.to_thread(kafka.prepare, folder, port, ports.get("kafka-controller"))
        java, *arguments = command.argv
        command = replace(
            command, argv=[java, f"-XX:AOTCacheOutput={part}", *arguments], stop_timeout_s=WRITE_TIMEOUT_S
        )
        broker = Process(command, folder / "kafka.log")
        await broker.start()
        try:
            await wait_ready(broker, partial(kafka_answers, port), WRITE_TIMEOUT_S)
        finally:
            await broker.stop()
        if not part.exists():
            raise CannotStart(f"the JVM wrote no cache of its classes: {broker.log.read_text()[-1000:]}")
    part.rename(file)


if __name__ == "__main__":
    os.nice(NICENESS)
    jars.class_path()
    if not kafka.class_cache().exists():
        try:
            asyncio.run(make(kafka.class_cache()))
        except CannotStart as error:
            sys.exit(f"Error: {error}")
