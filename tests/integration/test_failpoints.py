"""The matching worker killed at each step of the protocol, on real Kafka, with its disk kept and wiped (T2)."""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator

import pytest

from app.local.venue import Venue, running_venue
from load.generator import requests
from load.openloop import OpenLoop
from load.profiles import MIXED, PROFILES
from load.run import check
from tests.integration.conftest import LONG, addresses

RATE = 40
DEATH_TIMEOUT_S = 40.0
QUIET_TIMEOUT_S = 120.0
# Failpoint and the time at which it is reached; the second of each pair of lists only in the long form.
SHORT_RUN = [
    ("applied-before-send", 20),
    ("after-outputs", 1),
    ("after-id_blocks", 2),
    ("after-snapshots", 1),
    ("after-manifest", 2),
    ("after-tombstones", 1),
    ("after-position_hint", 1),
    ("loaded", 3),
]
LONG_RUN = [
    (name, nth)
    for name in (
        "fetched",
        "applied-before-send",
        "after-outputs",
        "after-id_blocks",
        "after-snapshots",
        "after-manifest",
        "after-tombstones",
        "after-position_hint",
        "loaded",
    )
    for nth in (1, 2, 5)
]


@pytest.fixture
async def unsupervised(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    """A venue in which nobody starts again what dies."""
    async with running_venue(tmp_path_factory.mktemp("failpoints"), supervised=False) as running:
        yield running


async def test_a_kill_at_any_step_changes_nothing(unsupervised: Venue) -> None:
    """Orders flow all the time; at the end topics, books, Postgres and answers are what the log gives."""
    venue = unsupervised
    deaths = LONG_RUN if LONG else SHORT_RUN
    stream = requests(PROFILES["crossing"], 7, MIXED, tag="failpoints")
    loop = OpenLoop(venue.url, stream, RATE, seconds=3600, connections=16, timeout_s=5.0, seed=7)
    running = asyncio.create_task(loop.run())
    await venue.kill("matching")
    try:
        for number, (name, nth) in enumerate(deaths):
            await _die(venue, name, nth, wipe=number % 2 == 1)
    finally:
        running.cancel()  # what is not answered yet is unknown to the ledger
        await asyncio.gather(running, return_exceptions=True)
    await venue.start_worker("matching")
    await venue.wait_ready("matching")
    verdict = await check(addresses(venue), loop.ledger, naive=True, timeout_s=QUIET_TIMEOUT_S)

    print(f"{len(deaths)} forced deaths, {loop.sent:,} requests sent\n{verdict.as_text()}")
    assert verdict.is_right, verdict.as_text()


async def _die(venue: Venue, name: str, nth: int, wipe: bool) -> None:
    """Start the worker, and wait until it has killed itself where it was told to."""
    process = await venue.start_worker("matching", env={"FAILPOINT": f"{name}:{nth}"})
    code = await asyncio.wait_for(process.wait(), DEATH_TIMEOUT_S)
    assert code == -signal.SIGKILL, f"{name}:{nth} was never reached: exit code {code}"
    if wipe:
        shutil.rmtree(venue.folder / "workers" / "matching-0")
