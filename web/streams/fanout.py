"""When public messages leave: the more frames go out, the longer they gather, because a write costs more than a frame.

What a client asked for, and what happened to its own orders, never waits here.
"""

import asyncio
from time import monotonic
from typing import Protocol

from app.pace import Pace

MOST_S = 0.1  # at FULL_RATE and beyond
FULL_RATE = 20_000.0  # frames a second
LEAST_S = 0.001  # a shorter pause costs a timer and saves no write


class Reader(Protocol):
    """A connection with frames that wait."""

    @property
    def waiting(self) -> int:
        """How many."""
        ...

    def write(self) -> None:
        """Write them."""
        ...


class Fanout:
    """The connections that have public frames to write, all at the same time."""

    def __init__(self, most_s: float = MOST_S) -> None:
        self._pace = Pace(most_s, FULL_RATE)
        self._due: dict[Reader, None] = {}

    def add(self, reader: Reader) -> None:
        """Have it write once when this turn of the event loop is over, or later if many frames go out."""
        if not self._due:
            loop, wait_s = asyncio.get_running_loop(), self._pace.wait_s(monotonic())
            if wait_s < LEAST_S:
                loop.call_soon(self._write)
            else:
                loop.call_later(wait_s, self._write)
        self._due[reader] = None

    def _write(self) -> None:
        due, self._due = self._due, {}
        frames = sum(reader.waiting for reader in due)
        for reader in due:
            reader.write()
        self._pace.note(frames, monotonic())
