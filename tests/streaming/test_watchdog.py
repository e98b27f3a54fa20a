"""Watchdogs: each bites when its time is over and not before, and a process whose loop stands still ends."""

import asyncio
import random
import subprocess
import sys
from types import SimpleNamespace

import pytest
from faust.types import TP

from app.local.ports import FREE_PORTS, HOST, is_free
from app.local.servers import Servers
from app.streaming import waiting, watchdog
from app.streaming.failstop import EXIT_CODE
from app.streaming.version import UnknownFaust, require_known_faust
from app.streaming.watchdog import (
    CHECKS_IN_A_ROW,
    Condition,
    Heartbeat,
    StallDetector,
    Watchdog,
    _take_sample,
    _Watched,
)

LIMIT_S = 10.0
STALLING = """
import asyncio, time
from app.streaming import waiting, watchdog
watchdog.LOOP_STALLED_S = watchdog.CHECK_S = 1.5

class App:
    producer_only = True

async def stall():
    watchdog.watch(App())
    await asyncio.sleep(4)
    print("works", flush=True)
    time.sleep(30)

asyncio.run(stall())
"""


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _bites(is_well: list[bool]) -> list[str]:
    """What a watchdog says that looks every 5 s at a condition that is so at these times."""
    said: list[str] = []
    clock, answers = Clock(), iter(is_well)
    watchdog = Watchdog(said.append, clock)
    watchdog.expect(Condition("nothing came", LIMIT_S, lambda: next(answers)))
    for _ in is_well:
        clock.now += 5.0
        watchdog.check()
    return said


def test_a_condition_that_is_never_so_bites_after_its_limit() -> None:
    """Counted from the start of the process; three times in a row, for a process that was paused."""
    overdue = [False] * (2 + CHECKS_IN_A_ROW)
    assert _bites(overdue) == ["nothing came for more than 10 s"]
    assert _bites(overdue[1:]) == []


def test_a_condition_that_is_so_again_in_time_does_not_bite() -> None:
    """The limit begins anew each time."""
    assert _bites([False, False, True, False, False, False, True] * 3) == []


def test_a_pause_of_the_whole_process_does_not_bite() -> None:
    """After SIGCONT everything is late at the first look, and well at the next."""
    said: list[str] = []
    clock, well = Clock(), True
    watchdog = Watchdog(said.append, clock)
    watchdog.expect(Condition("the loop stood still", LIMIT_S, lambda: well))
    watchdog.check()
    clock.now, well = 600.0, False
    watchdog.check()
    well = True
    watchdog.check()
    assert said == []


@pytest.mark.parametrize(
    ("samples", "is_well"),
    [
        ([({0: 5}, {0: 9}), ({0: 5}, {0: 9})], False),
        ([({0: 5}, {0: 9}), ({0: 6}, {0: 9})], True),
        ([({0: 9}, {0: 9}), ({0: 9}, {0: 9})], True),
        ([({0: 5, 1: 7}, {0: 9, 1: 8}), ({0: 8, 1: 7}, {0: 9, 1: 8})], False),
        ([({0: 5}, {0: 9}), ({0: 5}, {0: 9}), ({}, {})], True),
        ([({0: 5, 1: 7}, {0: 9, 1: 9}), ({0: 6, 1: 7}, {0: 9, 1: 9}), ({0: 6, 1: 8}, {0: 9, 1: 9})], True),
    ],
)
def test_progress_is_missed_only_where_there_is_work(
    samples: list[tuple[dict[int, int], dict[int, int]]], is_well: bool
) -> None:
    """A partition that stands still with records before it is stuck; at its end, or excused, it is not."""
    progress = StallDetector()
    for sample in samples:
        progress.sample(*sample)
    assert progress.is_well() is is_well


class _Hung:
    """A consumer whose client does not answer any more."""

    async def highwaters(self, *partitions: TP) -> dict[TP, int]:
        """Never."""
        return await asyncio.get_running_loop().create_future()


async def _progress_of_a_hung_consumer(broker: str) -> StallDetector:
    app = SimpleNamespace(consumer=_Hung(), conf=SimpleNamespace(broker=f"kafka://{broker}"))
    watched, progress = _Watched("orders", lambda: {0: 5}), StallDetector()
    await asyncio.gather(*(_take_sample(app, watched, progress) for _ in range(2)))
    return progress


async def test_a_consumer_that_hangs_is_not_excused_by_kafka(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka answers others, so it is not away; how much there is to read need not be known."""
    monkeypatch.setattr(watchdog, "SAMPLE_TIMEOUT_S", 10.0)
    assert not (await _progress_of_a_hung_consumer(servers.broker)).is_well()


async def test_a_process_that_waits_for_postgres_is_excused(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restart would bring nothing; the process says what it waits for."""
    monkeypatch.setattr(waiting, "_asked", [lambda: None, lambda: "Postgres is read-only"])
    assert waiting.waits_for() == "Postgres is read-only"
    assert (await _progress_of_a_hung_consumer(servers.broker)).is_well()


async def test_nobody_is_blamed_while_kafka_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restart would bring nothing."""
    monkeypatch.setattr(watchdog, "SAMPLE_TIMEOUT_S", 0.5)
    port = next(port for port in random.sample(FREE_PORTS, 100) if is_free(port))
    assert (await _progress_of_a_hung_consumer(f"{HOST}:{port}")).is_well()


async def test_a_heart_beats_while_the_loop_turns() -> None:
    """Asked twice without a turn between, it has stopped."""
    heartbeat = Heartbeat()
    assert heartbeat.has_turned()
    assert not heartbeat.has_turned()
    await asyncio.sleep(0.6)
    assert heartbeat.has_turned()


def test_a_process_whose_event_loop_stands_still_ends() -> None:
    """It works, then blocks; the thread shows where, and ends it."""
    done = subprocess.run([sys.executable, "-c", STALLING], capture_output=True, text=True, timeout=60)
    assert done.returncode == EXIT_CODE
    assert done.stdout == "works\n"
    assert "watchdog: the event loop stood still for more than 1.5 s" in done.stderr
    assert "in stall" in done.stderr


def test_another_faust_than_the_known_one_is_refused() -> None:
    """Overrides reach into it; the installed one is the known one."""
    require_known_faust()
    with pytest.raises(UnknownFaust, match=r"faust-streaming 0\.16\.0 is installed"):
        require_known_faust("0.16.0")


def test_a_worker_that_stands_still_says_so_long_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """In /readyz, after some samples in a row, and until it gets on again."""
    progress = StallDetector()
    monkeypatch.setattr(watchdog, "_progress", {"orders": progress})
    for _ in range(watchdog.STILL_SAMPLES):
        progress.sample({0: 5}, {0: 9})
        assert watchdog.standing_still() is None  # the first sample has nothing to compare with
    progress.sample({0: 5}, {0: 9})
    assert watchdog.standing_still() == "orders was not read for 20 s although there is something to read"
    assert watchdog.STILL_SAMPLES * watchdog.SAMPLE_S < watchdog.LAG_WITHOUT_PROGRESS_S
    progress.sample({0: 9}, {0: 9})
    assert watchdog.standing_still() is None
