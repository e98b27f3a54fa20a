"""Venues that start with half the CPU: servers with copied folders, and workers that are forks of a warm process.

All else about them is real: each worker is a process with a pid, a session and a log of its own. tests/local starts
venues and servers as users do.
"""

import asyncio
import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import IO, Any

from app.local import kafka, postgres, venue
from app.local.process import Child, Command, Process
from app.local.venue import ONE_OF_EACH
from tests.warm import warm

WARM = 2
"""Two workers that follow each other have different hashes of texts, so that no order of a set is relied upon."""
LONGEST_END_S = 120.0
_starts = count()


class Fork:
    """A child of a warm process."""

    def __init__(self, pid: int, answer: asyncio.StreamReader, connection: asyncio.StreamWriter) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._end = asyncio.create_task(self._until_end(answer, connection))

    async def wait(self) -> int:
        """Return the exit code once it has ended."""
        return await asyncio.shield(self._end)

    def send_signal(self, signal: int) -> None:
        """Send a signal; ProcessLookupError if it has ended."""
        os.kill(self.pid, signal)

    async def _until_end(self, answer: asyncio.StreamReader, connection: asyncio.StreamWriter) -> int:
        self.returncode = int(await answer.readline())
        connection.close()
        await connection.wait_closed()
        return self.returncode


class WarmProcess(Process):
    """Starts `python …` in a fork of a warm process, and adds it to `forks`."""

    def __init__(self, forks: list[Fork], command: Command, log: Path) -> None:
        super().__init__(command, log)
        self._forks = forks

    async def spawn(self, output: IO[bytes]) -> Child:
        """As a real one, but on no leash: the kernel ends it with the warm process, which ends with us."""
        command = self.command
        nothing = os.open(os.devnull, os.O_RDONLY)
        streams, argv = [nothing, output.fileno(), output.fileno()], ["python", *command.argv[1:]]
        asked = warm(next(_starts) % WARM).ask(argv, command.env, command.cwd, streams)
        os.close(nothing)
        begun = asyncio.create_task(self._begun(asked))
        try:
            return await asyncio.shield(begun)
        except asyncio.CancelledError:  # a supervisor was released: it must not leave a process that nobody knows
            fork = await begun
            fork.send_signal(signal.SIGKILL)
            await fork.wait()
            raise

    async def _begun(self, asked: socket.socket) -> Fork:
        answer, connection = await asyncio.open_unix_connection(sock=asked)
        self._forks.append(Fork(int(await answer.readline()), answer, connection))
        return self._forks[-1]


@cache
def _new_servers() -> Path:
    """A folder with Kafka's and Postgres' folders as their first preparation leaves them."""
    folder = Path(tempfile.mkdtemp(prefix="matchstream-new-"))
    atexit.register(shutil.rmtree, folder)
    some_port, another = 1, 2  # each start writes its own
    kafka.prepare(folder / "kafka", some_port, another)
    postgres.prepare(folder / "postgres", some_port)
    return folder


def _copy_new_servers(to: Path) -> None:
    to.mkdir(parents=True, exist_ok=True)
    # Not shutil: Postgres' files belong to another user if we are root.
    subprocess.run(["cp", "-a", *_new_servers().iterdir(), to], check=True)


@asynccontextmanager
async def running_venue(
    folder: Path, workers: Mapping[str, int] = ONE_OF_EACH, **options: Any
) -> AsyncIterator[venue.Venue]:
    """As app.local.venue.running_venue, for less CPU; at the end the workers are killed."""
    await asyncio.to_thread(_copy_new_servers, folder)
    forks: list[Fork] = []
    try:
        async with venue.running_venue(folder, workers, **options, process=partial(WarmProcess, forks)) as running:
            yield running
            await asyncio.gather(*(_kill(running, name) for name in running.processes))
    finally:  # they have ended, but we may not have been told yet
        await asyncio.wait_for(asyncio.gather(*(fork.wait() for fork in forks)), LONGEST_END_S)


async def _kill(running: venue.Venue, name: str) -> None:
    """End a worker without what it does and checks when it is stopped, which costs half a second of CPU."""
    role, _, slot = name.rpartition("-")
    await running.kill(role, int(slot), for_good=True)
