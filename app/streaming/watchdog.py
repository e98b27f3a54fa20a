"""Watchdogs: a process that is not ready, does not get on with its work, or whose event loop stands still, ends.

Faust can hang without an error (docs/EXACTNESS.md, Ownership); a restart cures it. The checks run in
a thread of their own, which nothing that hangs can hold up.
"""

import asyncio
import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from faust.types import TP

from app.configuration import broker_address
from app.streaming.failstop import EXIT_CODE, fail_stop
from app.streaming.waiting import waits_for

CHECK_S = 1.0
NOT_READY_S = 120.0  # from the start of the process, or from when it was ready last
LOOP_STALLED_S = 30.0
LAG_WITHOUT_PROGRESS_S = 90.0
SAMPLE_S = 5.0
SAMPLE_TIMEOUT_S = 15.0
STILL_SAMPLES = 4  # then /readyz says so: 20 s, long before the process ends
UNKNOWN_END = sys.maxsize
STDERR = 2  # sys.stderr is a worker's log
# A paused process finds all its times over when it goes on; a loop that works says so before the third check.
CHECKS_IN_A_ROW = 3

# The offset up to which each partition of a topic is worked off.
Processed = Callable[[], Mapping[int, int]]


@dataclass
class Condition:
    """Something that must be so again and again; `limit_s` is how long it may be otherwise."""

    sentence: str
    limit_s: float
    is_well: Callable[[], bool]


class Watchdog:
    """Looks at its conditions every second; `bark` ends the process."""

    def __init__(
        self, bark: Callable[[str], None], clock: Callable[[], float] = time.monotonic, began: float | None = None
    ) -> None:
        self._bark, self._clock = bark, clock
        self._began = clock() if began is None else began
        self._conditions: list[Condition] = []
        self._well_at: dict[str, float] = {}
        self._overdue: dict[str, int] = {}

    def expect(self, condition: Condition) -> None:
        """Watch one more condition, from the start of the process on."""
        self._conditions = [*self._conditions, condition]

    def check(self) -> None:
        """Look once."""
        now = self._clock()
        for condition in self._conditions:
            name = condition.sentence
            if condition.is_well():
                self._well_at[name], self._overdue[name] = now, 0
            elif now - self._well_at.get(name, self._began) > condition.limit_s:
                self._overdue[name] = self._overdue.get(name, 0) + 1
                if self._overdue[name] >= CHECKS_IN_A_ROW:
                    self._bark(f"{name} for more than {condition.limit_s:g} s")

    def start(self) -> None:
        """Look every second from now on, in a thread that ends with the process."""
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(CHECK_S)
            self.check()


class Heartbeat:
    """Whether the event loop turns: it moves a mark every second, and whoever asks takes the mark away."""

    def __init__(self) -> None:
        self._loop, self._has_turned = asyncio.get_running_loop(), True
        self._turn()

    def has_turned(self) -> bool:
        """Since this was asked last."""
        turned, self._has_turned = self._has_turned, False
        return turned

    def _turn(self) -> None:
        self._has_turned = True
        self._loop.call_later(CHECK_S / 2, self._turn)


class StallDetector:
    """Whether the partitions of a topic that have something to do get on. Fed with samples."""

    def __init__(self) -> None:
        self._before: dict[int, int] = {}
        self._stuck: set[int] = set()
        self.still_samples = 0
        """For how many samples a partition has stood still."""

    def sample(self, processed: Mapping[int, int], waiting: Mapping[int, int]) -> None:
        """Where each partition is, and up to where there is something for it."""
        stuck = {
            number
            for number, position in processed.items()
            if position < waiting.get(number, 0) and self._before.get(number) == position
        }
        # With a backlog partitions take turns; one that has stood still all the time is meant.
        self._stuck = self._stuck & stuck if self._stuck else stuck
        self._before = dict(processed)
        self.still_samples = self.still_samples + 1 if self._stuck else 0

    def is_well(self) -> bool:
        """No partition has stood still, with work before it, since this was so last."""
        return not self._stuck


class _Watched(NamedTuple):
    topic: str
    processed: Processed


_STARTED = time.monotonic()  # this module is imported when the process begins
_watched: list[_Watched] = []
_progress: dict[str, StallDetector] = {}


def watch_progress(topic: str, processed: Processed) -> None:
    """Let the process end when a partition of this topic stands still although there is something to read."""
    _watched.append(_Watched(topic, processed))


def standing_still() -> str | None:
    """Which topic this process does not get on with, although there is something to read; None if there is none."""
    still = sorted(topic for topic, progress in _progress.items() if progress.still_samples >= STILL_SAMPLES)
    return (
        f"{', '.join(still)} was not read for {STILL_SAMPLES * SAMPLE_S:g} s although there is something to read"
        if still
        else None
    )


def watch(app: Any) -> None:
    """Start the watchdogs of this process; call it in its event loop."""
    watchdog = Watchdog(_bark, began=_STARTED)
    watchdog.expect(Condition("the event loop stood still", LOOP_STALLED_S, Heartbeat().has_turned))
    if not app.producer_only:
        watchdog.expect(Condition("the worker was not ready", NOT_READY_S, lambda: _is_ready_or_waits(app)))
    for watched in _watched:
        progress = _progress[watched.topic] = StallDetector()
        app.add_future(fail_stop(_sample)(app, watched, progress))
        sentence = f"{watched.topic} was not read although there is something to read"
        watchdog.expect(Condition(sentence, LAG_WITHOUT_PROGRESS_S, progress.is_well))
    watchdog.start()


def _is_ready_or_waits(app: Any) -> bool:
    return waits_for() is not None or (app.tables.actives_ready and not app.rebalancing)  # as /readyz says it


async def _sample(app: Any, watched: _Watched, progress: StallDetector) -> None:
    while True:
        await asyncio.sleep(SAMPLE_S)
        await _take_sample(app, watched, progress)


async def _take_sample(app: Any, watched: _Watched, progress: StallDetector) -> None:
    processed = {} if waits_for() else dict(watched.processed())
    try:
        async with asyncio.timeout(SAMPLE_TIMEOUT_S):
            waiting = await _waiting(app.consumer, watched.topic, processed)
    except (TimeoutError, KafkaError):
        # If Kafka answers others it is our consumer that hangs, and nobody knows how much it misses.
        is_there = await _kafka_answers(broker_address(app.conf.broker))
        waiting = dict.fromkeys(processed, UNKNOWN_END) if is_there else {}
    progress.sample(processed, waiting)


async def _kafka_answers(broker: str) -> bool:
    """Whether somebody who connects now is answered."""
    client = AIOKafkaAdminClient(bootstrap_servers=broker)
    try:
        async with asyncio.timeout(SAMPLE_TIMEOUT_S):
            await client.start()
    except (TimeoutError, KafkaError):
        return False
    finally:
        await client.close()
    return True


async def _waiting(consumer: Any, topic: str, processed: Mapping[int, int]) -> dict[int, int]:
    """Up to where each partition has something to do: what was delivered, or one more if there is more to fetch."""
    partitions = [TP(topic, number) for number in processed]
    ends = await consumer.highwaters(*partitions) if partitions else {}
    waiting = {tp.partition: consumer.delivered(tp) for tp in partitions}
    for tp in partitions:
        # Where a transaction has ended the position moves on, and there is no record.
        if (await consumer.position(tp) or 0) < ends[tp]:
            waiting[tp.partition] = max(waiting[tp.partition], processed[tp.partition] + 1)
    return waiting


def _bark(sentence: str) -> None:
    """End the process, showing where each of its threads was; without the log, whose lock may be what it waits for."""
    try:
        faulthandler.dump_traceback(file=STDERR)
        os.write(STDERR, f"ending the process: watchdog: {sentence}\n".encode())
    finally:
        os._exit(EXIT_CODE)
