"""Starts again what has died: at once the first time, then after growing pauses; at once whom the group sent away."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from app.local.process import Process
from app.streaming.failstop import REVOKED_CODE

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
STEADY_AFTER_S = 30.0
"""A process that lived this long has its earlier deaths forgiven."""


@dataclass
class Backoff:
    """How long to wait before the next start of one process."""

    deaths: int = 0

    def pause(self, lived_s: float, exit_code: int) -> float:
        """The pause after a life of that length: 0, 0.5, 1, 2, 4, 8, 10, 10 … seconds. A rebalance is no death."""
        if exit_code == REVOKED_CODE:
            return 0.0
        self.deaths = 1 if lived_s >= STEADY_AFTER_S else self.deaths + 1
        return 0.0 if self.deaths == 1 else min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (self.deaths - 2))


class Supervisor:
    """Watches processes; `say` hears of every death, `changed` is called when a process has a new identity."""

    def __init__(self, say: Callable[[str], None], changed: Callable[[], None]) -> None:
        self._say = say
        self._changed = changed
        self._watches: dict[Process, asyncio.Task[None]] = {}

    def watch(self, process: Process) -> None:
        """Start it again whenever it ends, until released."""
        self._watches[process] = asyncio.create_task(self._keep_alive(process))

    async def release(self, *processes: Process) -> None:
        """Let these rest when they end; all of them if none is named."""
        for process in processes or tuple(self._watches):
            if watch := self._watches.pop(process, None):
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)

    async def _keep_alive(self, process: Process) -> None:
        name, backoff = process.command.name, Backoff()
        while True:
            started = time.monotonic()
            exit_code = await process.wait()
            pause = backoff.pause(time.monotonic() - started, exit_code)
            self._say(f"{name} ended ({_meaning(exit_code)}), starting it again {_when(pause)}: see {process.log}")
            await asyncio.sleep(pause)
            await process.start()
            self._changed()


def _meaning(exit_code: int) -> str:
    if exit_code == REVOKED_CODE:
        return "the group assigns its partitions anew"
    return f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"


def _when(pause_s: float) -> str:
    return f"in {pause_s:g} s" if pause_s else "now"
