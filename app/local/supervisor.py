"""Starts again what has died: at once the first time, then after growing pauses; at once whom the group sent away."""

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


SEVERE = re.compile(r"\b(ERROR|FATAL|PANIC)\b")
SAME_SENTENCES = 3
"""A process that has ended with the same sentence this often is a case for a person."""


@dataclass
class Refrain:
    """Notices that a process ends again and again with the same sentence."""

    sentence: str = ""
    times: int = 0

    def is_heard_in(self, last_words: str) -> bool:
        """Whether these last words make it SAME_SENTENCES times; numbers in them (times, offsets) may differ."""
        sentence = last_sentence(last_words)
        same = bool(sentence) and re.sub(r"\d+", "0", sentence) == re.sub(r"\d+", "0", self.sentence)
        self.sentence, self.times = sentence, self.times + 1 if same else 1
        return self.times == SAME_SENTENCES


def last_sentence(last_words: str) -> str:
    """Why a process ended, from the end of its log: a worker's reason, a server's last error, or else the last line.

    If an exception was the reason, the exception's own line follows.
    """
    _, found, rest = last_words.rpartition("ending the process: ")
    lines = [line.strip() for line in rest.splitlines() if line.strip()]
    if not lines:
        return ""
    if not found:
        return ([line for line in lines if SEVERE.search(line)] or lines)[-1]
    return f"{lines[0]}: {lines[-1]}" if "Traceback (most recent call last):" in lines else lines[0]


class Supervisor:
    """Watches processes; `say` hears of every death, `changed` is called when a process has a new identity.

    Its own errors must not end it (a full disk, too many open files): when they are over, everything has to come back.
    """

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
        name, backoff, refrain = process.command.name, Backoff(), Refrain()
        while True:
            started = time.monotonic()
            exit_code = await process.wait()
            pause = backoff.pause(time.monotonic() - started, exit_code)
            self._say(f"{name} ended ({_meaning(exit_code)}), starting it again {_when(pause)}: see {process.log}")
            if exit_code != REVOKED_CODE and refrain.is_heard_in(process.last_words()):
                self._say(f"ALARM: {name} has ended {refrain.times} times with the same sentence: {refrain.sentence}")
            await asyncio.sleep(pause)
            await self._start(process)

    async def _start(self, process: Process) -> None:
        while True:
            try:
                await process.start()
                break
            except Exception as error:
                pause = _when(LONGEST_PAUSE_S)
                self._say(f"{process.command.name} cannot be started ({error}), trying again {pause}")
                await asyncio.sleep(LONGEST_PAUSE_S)
        self._changed()


def _meaning(exit_code: int) -> str:
    if exit_code == REVOKED_CODE:
        return "the group assigns its partitions anew"
    return f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"


def _when(pause_s: float) -> str:
    return f"in {pause_s:g} s" if pause_s else "now"
