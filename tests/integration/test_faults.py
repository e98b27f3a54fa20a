"""Faults under load, each followed by the checker with the naive engine: nothing lost, nothing doubled."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from app.local.venue import Venue, running_venue
from load.client import Client
from load.generator import requests
from load.ledger import Ledger, Outcome
from load.openloop import OpenLoop
from load.profiles import MIXED, PROFILES
from load.request import Kind, Terms
from load.run import check
from tests.integration.conftest import LONG, addresses

RATE = 200 if LONG else 100
SECONDS = 30.0 if LONG else 6.0
AWAY_SECONDS = 10.0 if LONG else 4.0
RECOVERY_TIMEOUT_S = 60.0
QUIET_TIMEOUT_S = 60.0
TITLE = (
    f"{'fault':<24}{'sent':>8}{'accepted':>10}{'refused':>9}{'unknown':>9}{'lost':>6}{'doubled':>9}{'recovered':>11}"
)

Strike = Callable[[Venue], Awaitable[None]]


@dataclass
class Story:
    """A venue, everything that it has been asked so far, and a line for each fault that it went through."""

    venue: Venue
    ledger: Ledger = field(default_factory=Ledger)
    lines: list[str] = field(default_factory=lambda: [TITLE])
    numbers: Iterator[int] = field(default_factory=count)


@pytest.fixture(scope="module")
async def story(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Story]:
    """A venue that is struck by one fault after the other; the table is printed at the end."""
    folder: Path = tmp_path_factory.mktemp("faults")
    async with running_venue(folder) as running:
        told = Story(running)
        yield told
    print("", *told.lines, sep="\n")


def killed(*names: str) -> Strike:
    """SIGKILL at once; the supervisor starts them again."""

    async def strike(venue: Venue) -> None:
        await asyncio.gather(*(venue.kill(name) for name in names))

    return strike


def told_to_stop(*names: str) -> Strike:
    """SIGTERM, as a deployment sends it; the supervisor starts them again."""

    async def strike(venue: Venue) -> None:
        for name in names:
            process = venue.process(name)
            process.send(signal.SIGTERM)
            assert await process.wait() == 0

    return strike


def away(server: str) -> Strike:
    """A server is stopped and comes back after a while."""

    async def strike(venue: Venue) -> None:
        await venue.stop_worker(server)
        await asyncio.sleep(AWAY_SECONDS)
        await venue.servers.start()

    return strike


# A server that was away is not supervised any more, so those come last.
FAULTS: dict[str, Strike] = {
    "SIGTERM gateway": told_to_stop("gateway"),
    "kill -9 matching": killed("matching"),
    "kill -9 recording": killed("recording"),
    "kill -9 gateway": killed("gateway"),
    "kill -9 all workers": killed("matching", "recording", "gateway"),
    "kill -9 Valkey": killed("valkey"),
    "kill -9 Postgres": killed("postgres"),
    "kill -9 Kafka": killed("kafka"),
    "Postgres away": away("postgres"),
    "Kafka away": away("kafka"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_under_load_loses_nothing_and_doubles_nothing(name: str, story: Story) -> None:
    """Every new order is accepted in the end, and topics, books, Postgres and answers are what the log gives."""
    venue, number = story.venue, next(story.numbers)
    stream = requests(PROFILES["crossing"], number, MIXED, tag=f"fault{number}")
    loop = OpenLoop(venue.url, stream, RATE, SECONDS, connections=16, timeout_s=5.0, seed=number)
    running = asyncio.create_task(loop.run())
    await asyncio.sleep(SECONDS / 3)
    struck = time.monotonic()
    await FAULTS[name](venue)
    await _one_more_order(story)
    recovered_s = time.monotonic() - struck
    await running
    for entry in loop.ledger:
        story.ledger.record(entry)
    verdict = await check(addresses(venue), story.ledger, naive=True, timeout_s=QUIET_TIMEOUT_S)
    outcomes = loop.ledger.outcomes()
    story.lines.append(
        f"{name:<24}{loop.sent:>8}{outcomes['ok']:>10}{outcomes['refused']:>9}{outcomes['unknown']:>9}"
        f"{_count(verdict.first, 'no report has it'):>6}{_count(verdict.first, 'was made'):>9}{recovered_s:>9.1f} s"
    )
    assert verdict.is_right, verdict.as_text()
    new = [entry for entry in loop.ledger if entry.request.kind in (Kind.LIMIT, Kind.MARKET, Kind.REPEAT)]
    assert {entry.outcome for entry in new} == {Outcome.OK}


async def _one_more_order(story: Story) -> None:
    """An order of our own, until it is matched."""
    async with Client(story.venue.url, story.ledger) as client:
        answer = await client.place(Terms("watcher", "BTC-USD", "buy", "limit", "0.01", "1.00"))
        assert answer.outcome is Outcome.OK
        await client.matched(answer.json()["order_id"], RECOVERY_TIMEOUT_S)


def _count(first: str | None, sentence: str) -> int:
    return int(first is not None and sentence in first)
