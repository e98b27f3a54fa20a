"""Venues whose workers are forks of a warm process: a start costs a third of the CPU.

All else about them is real: each is a process with a pid, a session and a log of its own. The venues that tests/local,
README.md's commands and the image start have workers that are started as users start them.
"""

import asyncio
import os
from functools import partial
from itertools import count
from typing import IO

from app.local import venue
from app.local.process import Child, Process
from tests.warm import warm

WARM = 2
"""Two workers that follow each other have different hashes of texts, so that no order of a set is relied upon."""
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
    """Starts `python …` in a fork of a warm process."""

    async def spawn(self, output: IO[bytes]) -> Child:
        """As a real one, but on no leash: the kernel ends it with the warm process, which ends with us."""
        command = self.command
        nothing = os.open(os.devnull, os.O_RDONLY)
        streams, argv = [nothing, output.fileno(), output.fileno()], ["python", *command.argv[1:]]
        asked = warm(next(_starts) % WARM).ask(argv, command.env, command.cwd, streams)
        os.close(nothing)
        answer, connection = await asyncio.open_unix_connection(sock=asked)
        return Fork(int(await answer.readline()), answer, connection)


running_venue = partial(venue.running_venue, process=WarmProcess)
