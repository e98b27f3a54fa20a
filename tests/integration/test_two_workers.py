"""Two matching workers under load: one dies, is paused, joins and leaves; nothing is lost, nothing is doubled (T2)."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from uuid import uuid4

import pytest

from app.local.venue import ONE_OF_EACH, Venue
from load import strikes
from load.client import Client
from load.ledger import Ledger
from load.profiles import TEN_INSTRUMENTS
from load.request import Terms
from load.target import Target
from tests.integration.conftest import judge, under_load
from tests.long import LONG
from tests.venues import running_venue

pytestmark = pytest.mark.skipif(not LONG, reason="takes minutes: in `make faults`")

RATE = 60
ROUNDS = 4
# The group forgets a dead member after its session, and the survivor begins anew when it is given more.
TAKEOVER_TIMEOUT_S = strikes.SESSION_TIMEOUT_S + 60.0


@pytest.fixture(scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    """A venue with two matching workers."""
    async with running_venue(tmp_path_factory.mktemp("pair"), {**ONE_OF_EACH, "matching": 2}) as running:
        yield running


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    """Everything that the venue is asked."""
    return Ledger()


async def test_the_survivor_takes_over(pair: Venue, ledger: Ledger) -> None:
    """One of two is killed for good: after the session timeout every market goes on."""
    async with _load(pair, ledger):
        took_s = await _all_matched_after(pair, ledger, lambda: pair.kill("matching", 1, for_good=True))
    print(f"every instrument was matched {took_s:.1f} s after the kill")
    await judge(pair, ledger)


async def test_workers_may_join_and_leave_under_load(pair: Venue, ledger: Ledger) -> None:
    """A second worker comes, and goes by a signal or a kill, twice each."""
    async with _load(pair, ledger):
        for number in range(ROUNDS):
            await pair.start_worker("matching", 1)
            joined_s = await _all_matched_after(pair, ledger, lambda: pair.wait_ready("matching", 1))
            leave = pair.stop_worker("matching", 1) if number % 2 else pair.kill("matching", 1, for_good=True)
            left_s = await _all_matched_after(pair, ledger, lambda leave=leave: leave)
            print(f"round {number + 1}: joined after {joined_s:.1f} s, left after {left_s:.1f} s")
    await judge(pair, ledger)


async def test_a_zombie_changes_nothing(pair: Venue, ledger: Ledger) -> None:
    """A worker is stopped in the middle of its work until the other one has all, and then goes on."""
    await pair.start_worker("matching", 1)
    await pair.wait_ready("matching", 1)
    for name in ("matching-0", "matching-1"):
        async with _load(pair, ledger):
            await _all_matched_after(pair, ledger, lambda: asyncio.sleep(1))
            assert Target(pair.folder).process(name) is not None
            with strikes.paused(Target(pair.folder), name):
                took_s = await _all_matched_after(pair, ledger, lambda: asyncio.sleep(strikes.SESSION_TIMEOUT_S + 6.0))
            print(f"{name} paused: every instrument was matched after {took_s:.1f} s, without it")
        await judge(pair, ledger)


async def test_a_taken_slot_is_refused_in_a_sentence(pair: Venue, ledger: Ledger) -> None:
    """Two live processes of one slot would displace each other for ever."""
    await pair.wait_all_ready()
    rival = await _rival(pair)
    try:
        code = await asyncio.wait_for(rival.wait(), 120)
    finally:
        if rival.returncode is None:
            rival.send_signal(signal.SIGKILL)
    assert code == 70
    assert "the slot matching-0 is taken: the process" in pair.log("matching-0").read_text()


async def _rival(venue: Venue) -> asyncio.subprocess.Process:
    command = venue.process("matching").command
    env = {**command.env, "WEB_PORT": str(venue.ports.get("rival"))}
    with venue.log("matching-0").open("ab") as log:
        return await asyncio.create_subprocess_exec(*command.argv, cwd=command.cwd, env=env, stdout=log, stderr=log)


def _load(pair: Venue, ledger: Ledger) -> AbstractAsyncContextManager[None]:
    return under_load(pair, ledger, RATE, seed=3, tag=uuid4().hex[:8])


async def _all_matched_after(venue: Venue, ledger: Ledger, act: Callable[[], Awaitable[object]]) -> float:
    """Do something, then place an order in each market; seconds until the last of them is matched."""
    began = time.monotonic()
    await act()
    async with Client(venue.url, ledger) as client:
        await asyncio.gather(*(_matched(client, instrument) for instrument in TEN_INSTRUMENTS))
    return time.monotonic() - began


async def _matched(client: Client, instrument: str) -> None:
    answer = await client.place(Terms("watcher", instrument, "buy", "limit", "0.01", "1.00"))
    await client.matched(answer.json()["order_id"], TAKEOVER_TIMEOUT_S)
