"""Watchdogs: end a process that does not become ready, makes no progress, or whose event loop hangs.

Faust can hang without an error (docs/EXACTNESS.md, Ownership); a restart cures it. The checks run in a separate thread,
which a hanging event loop cannot block.
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
NOT_READY_S = 120.0  # since the process started, or since it was last ready
LOOP_STALLED_S = 30.0
LAG_WITHOUT_PROGRESS_S = 90.0
SAMPLE_S = 5.0
SAMPLE_TIMEOUT_S = 15.0
STILL_SAMPLES = 4  # samples without progress until /readyz says so: 20 s, long before the process ends
UNKNOWN_END = sys.maxsize
STDERR = 2  # sys.stderr is a worker's log
# A process that was paused finds every limit exceeded when it resumes; a working loop recovers before check three.
CHECKS_IN_A_ROW = 3

# Returns the offset up to which each partition of a topic has been processed.
Processed = Callable[[], Mapping[int, int]]


@dataclass
class Condition:
    """A condition that may fail for at most `limit_s` seconds at a time; `sentence` describes the failure."""

    sentence: str
    limit_s: float
    is_well: Callable[[], bool]


class Watchdog:
    """Checks its conditions every second; calls `bark`, which ends the process, if one fails for too long."""

    def __init__(
        self, bark: Callable[[str], None], clock: Callable[[], float] = time.monotonic, began: float | None = None
    ) -> None:
        self._bark, self._clock = bark, clock
        self._began = clock() if began is None else began
        self._conditions: list[Condition] = []
        self._well_at: dict[str, float] = {}
        self._overdue: dict[str, int] = {}

    def expect(self, condition: Condition) -> None:
        """Watch one more condition; its time counts from the start of the process."""
        self._conditions = [*self._conditions, condition]

    def check(self) -> None:
        """Check every condition once."""
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
        """Check every second, in a daemon thread."""
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(CHECK_S)
            self.check()


class Heartbeat:
    """Whether the event loop runs: a timer sets a flag every half second, and `has_turned` clears it."""

    def __init__(self) -> None:
        self._loop, self._has_turned = asyncio.get_running_loop(), True
        self._turn()

    def has_turned(self) -> bool:
        """Whether the loop has run since the last call."""
        turned, self._has_turned = self._has_turned, False
        return turned

    def _turn(self) -> None:
        self._has_turned = True
        self._loop.call_later(CHECK_S / 2, self._turn)


class StallDetector:
    """Detects partitions of a topic that make no progress although they have work, from samples of their positions."""

    def __init__(self) -> None:
        self._before: dict[int, int] = {}
        self._stuck: set[int] = set()
        self.still_samples = 0
        """The number of consecutive samples in which a partition made no progress."""

    def sample(self, processed: Mapping[int, int], waiting: Mapping[int, int]) -> None:
        """Take the position of each partition, and the offset up to which it has work."""
        stuck = {
            number
            for number, position in processed.items()
            if position < waiting.get(number, 0) and self._before.get(number) == position
        }
        # With a backlog partitions take turns, so look for one that made no progress in any sample.
        self._stuck = self._stuck & stuck if self._stuck else stuck
        self._before = dict(processed)
        self.still_samples = self.still_samples + 1 if self._stuck else 0

    def is_well(self) -> bool:
        """Whether no partition has been stuck in every sample since this was last true."""
        return not self._stuck


class _Watched(NamedTuple):
    topic: str
    processed: Processed


_STARTED = time.monotonic()  # the process imports this module at its start
_watched: list[_Watched] = []
_progress: dict[str, StallDetector] = {}


def watch_progress(topic: str, processed: Processed) -> None:
    """End the process when a partition of this topic makes no progress although it has records to read."""
    _watched.append(_Watched(topic, processed))


def standing_still() -> str | None:
    """A sentence naming the topics in which this process makes no progress despite records to read, or None."""
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
    return waits_for() is not None or (app.tables.actives_ready and not app.rebalancing)  # the same test as in /readyz


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
        # If Kafka answers a new client, our consumer hangs, and how much it has to read is unknown.
        is_there = await _kafka_answers(broker_address(app.conf.broker))
        waiting = dict.fromkeys(processed, UNKNOWN_END) if is_there else {}
    progress.sample(processed, waiting)


async def _kafka_answers(broker: str) -> bool:
    """Whether Kafka answers a new client."""
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
    """The offset up to which each partition has work: what was delivered, or one more if there is more to fetch."""
    partitions = [TP(topic, number) for number in processed]
    ends = await consumer.highwaters(*partitions) if partitions else {}
    waiting = {tp.partition: consumer.delivered(tp) for tp in partitions}
    for tp in partitions:
        # Compare the fetch position, not offsets of records: it also passes transaction markers, which are not records.
        if (await consumer.position(tp) or 0) < ends[tp]:
            waiting[tp.partition] = max(waiting[tp.partition], processed[tp.partition] + 1)
    return waiting


def _bark(sentence: str) -> None:
    """Print the stack of each thread and end the process. Do not use the log: a hanging thread may hold its lock."""
    try:
        faulthandler.dump_traceback(file=STDERR)
        os.write(STDERR, f"ending the process: watchdog: {sentence}\n".encode())
    finally:
        os._exit(EXIT_CODE)
