"""Restarts processes that end: at once after the first death or a Kafka rebalance, otherwise after growing pauses."""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from app.local.process import Process
from app.streaming.failstop import REVOKED_CODE

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
STEADY_AFTER_S = 30.0
"""If a process ran this long, its earlier deaths no longer count."""


@dataclass
class Backoff:
    """How long to wait before the next start of a process."""

    deaths: int = 0

    def pause(self, lived_s: float, exit_code: int) -> float:
        """Seconds to wait after a run of `lived_s`: 0, 0.5, 1, 2, 4, 8, 10, 10 … A rebalance does not count."""
        if exit_code == REVOKED_CODE:
            return 0.0
        self.deaths = 1 if lived_s >= STEADY_AFTER_S else self.deaths + 1
        return 0.0 if self.deaths == 1 else min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (self.deaths - 2))


SEVERE = re.compile(r"\b(ERROR|FATAL|PANIC)\b")
SAME_SENTENCES = 3
"""After this many ends in a row with the same last sentence, an operator must act."""


@dataclass
class SameEnd:
    """Counts a process's ends in a row with the same last sentence."""

    sentence: str = ""
    times: int = 0

    def needs_an_operator(self, last_words: str) -> bool:
        """Count one end more; True at the SAME_SENTENCES-th in a row. Numbers in the sentences may differ."""
        sentence = last_sentence(last_words)
        same = bool(sentence) and re.sub(r"\d+", "0", sentence) == re.sub(r"\d+", "0", self.sentence)
        self.sentence, self.times = sentence, self.times + 1 if same else 1
        return self.times == SAME_SENTENCES


def last_sentence(last_words: str) -> str:
    """Why a process ended, read from the end of its log: a worker's reason, a server's last error, or the last line.

    If an exception was the reason, its last line is appended.
    """
    _, found, rest = last_words.rpartition("ending the process: ")
    lines = [line.strip() for line in rest.splitlines() if line.strip()]
    if not lines:
        return ""
    if not found:
        return ([line for line in lines if SEVERE.search(line)] or lines)[-1]
    return f"{lines[0]}: {lines[-1]}" if "Traceback (most recent call last):" in lines else lines[0]


class Supervisor:
    """Watches processes: calls `say` with a line for each death, and `changed` after each restart (the pid is new).

    An error while restarting (a full disk, too many open files) must not end the supervisor: it tries again until
    the process is back.
    """

    def __init__(self, say: Callable[[str], None], changed: Callable[[], None]) -> None:
        self._say = say
        self._changed = changed
        self._watches: dict[Process, asyncio.Task[None]] = {}

    def watch(self, process: Process) -> None:
        """Restart the process whenever it ends, until it is released."""
        self._watches[process] = asyncio.create_task(self._keep_alive(process))

    async def release(self, *processes: Process) -> None:
        """Stop restarting these processes; without arguments, all of them."""
        for process in processes or tuple(self._watches):
            if watch := self._watches.pop(process, None):
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)

    async def _keep_alive(self, process: Process) -> None:
        name, backoff, ends = process.command.name, Backoff(), SameEnd()
        while True:
            started = time.monotonic()
            exit_code = await process.wait()
            pause = backoff.pause(time.monotonic() - started, exit_code)
            self._say(f"{name} ended ({_meaning(exit_code)}), starting it again {_when(pause)}: see {process.log}")
            if exit_code != REVOKED_CODE and ends.needs_an_operator(process.last_words()):
                self._say(f"ALARM: {name} has ended {ends.times} times with the same sentence: {ends.sentence}")
            await asyncio.sleep(pause)
            await self._start(process)

    async def _start(self, process: Process) -> None:
        while True:
            try:
                await process.start()
                break
            except Exception as error:
                pause = _when(LONGEST_PAUSE_S)
                self._say(f"{process.command.name} cannot start ({error}), trying again {pause}")
                await asyncio.sleep(LONGEST_PAUSE_S)
        self._changed()


def _meaning(exit_code: int) -> str:
    if exit_code == REVOKED_CODE:
        return "Kafka reassigned its partitions"
    return f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"


def _when(pause_s: float) -> str:
    return f"in {pause_s:g} s" if pause_s else "now"
