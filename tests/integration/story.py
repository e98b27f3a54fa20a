"""A venue that is struck by one fault after the other under load, each judged: nothing lost, nothing doubled."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from app.local.venue import Venue
from load import strikes
from load.backoff import Backoff
from load.client import Client
from load.generator import requests
from load.ledger import Entry, Ledger, Outcome
from load.openloop import OpenLoop
from load.profiles import MIXED, PROFILES
from load.request import Kind, Terms
from load.target import Target
from tests.integration.conftest import judge
from tests.venues import running_venue

RATE = 60
BEFORE_S, AFTER_S = 2.0, 3.0  # orders flow before a fault, during it, and after it until there was a checkpoint
MOST_S = 300.0
RECOVERY_TIMEOUT_S = 120.0
PATIENT, DRAIN_S = Backoff(attempts=45), 90.0  # a supervisor waits ever longer for what dies again and again
AWAY_S = 10.0
TITLE = f"{'fault':<40}{'sent':>7}{'accepted':>10}{'refused':>9}{'unknown':>9}{'compared':>10}{'recovered':>11}"

Strike = Callable[["Story"], Awaitable[None]]


@dataclass
class Story:
    """A venue, everything that it has been asked so far, and a line for each fault that it went through."""

    venue: Venue
    ledger: Ledger = field(default_factory=Ledger)
    lines: list[str] = field(default_factory=lambda: [TITLE])

    @property
    def target(self) -> Target:
        return Target(self.venue.folder)


@asynccontextmanager
async def running_story(folder: Path, env: Mapping[str, str] | None = None) -> AsyncIterator[Story]:
    """A supervised venue; what each fault did to it is printed at the end."""
    async with running_venue(folder, env=env) as running:
        told = Story(running)
        yield told
    print("", *told.lines, sep="\n")


async def strike_under_load(story: Story, name: str, strike: Strike) -> None:
    """Every new order is accepted in the end, and topics, books, Postgres and answers are what the log gives."""
    venue, number = story.venue, len(story.lines)
    stream = requests(PROFILES["crossing"], number, MIXED, tag=f"fault{number}")
    loop = OpenLoop(
        venue.url, stream, RATE, MOST_S, connections=16, timeout_s=5.0, backoff=PATIENT, drain_s=DRAIN_S, seed=number
    )
    running = asyncio.create_task(loop.run())
    await asyncio.sleep(BEFORE_S)
    struck = time.monotonic()
    await strike(story)
    await _one_more_order(story)
    recovered_s = time.monotonic() - struck
    await asyncio.sleep(AFTER_S)
    loop.stop()
    await running
    for entry in loop.ledger:
        story.ledger.record(entry)
    verdict = await judge(venue, story.ledger)
    outcomes = loop.ledger.outcomes()
    story.lines.append(
        f"{name:<40}{loop.sent:>7}{outcomes['ok']:>10}{outcomes['refused']:>9}{outcomes['unknown']:>9}"
        f"{sum(finding.compared for finding in verdict.findings):>10,}{recovered_s:>9.1f} s"
    )
    assert _kept_out(loop.ledger) == []


def killed(*names: str) -> Strike:
    """SIGKILL for all at once; the supervisor starts them again."""
    return lambda story: strikes.kill(story.target, *names)


def killed_in_a_loop(name: str, gap_s: float) -> Strike:
    return lambda story: strikes.kill_in_a_loop(story.target, name, 5, gap_s)


def paused(seconds: float, *names: str) -> Strike:
    return lambda story: strikes.pause(story.target, seconds, *names)


def told_to_stop(*names: str) -> Strike:
    """SIGTERM, as a deployment sends it; the supervisor starts them again."""

    async def strike(story: Story) -> None:
        for name in names:
            process = story.venue.process(name)
            process.send(signal.SIGTERM)
            assert await process.wait() == 0

    return strike


def away(server: str) -> Strike:
    """A server is stopped and comes back after a while."""

    async def strike(story: Story) -> None:
        await story.venue.stop_worker(server)
        await asyncio.sleep(AWAY_S)
        await story.venue.servers.start()

    return strike


def _kept_out(ledger: Ledger) -> list[Entry]:
    """New orders that were not accepted, but for those whose key another body took.

    The generator sends one long after the order; an order that is repeated until the fault is over may come second.
    """
    entries = [*ledger]
    ok = {(entry.request.about, entry.request.kind) for entry in entries if entry.outcome is Outcome.OK}
    new = [entry for entry in entries if entry.request.kind in (Kind.LIMIT, Kind.MARKET, Kind.REPEAT)]
    return [e for e in new if e.outcome is not Outcome.OK and (e.request.about, Kind.HOSTILE) not in ok]


async def _one_more_order(story: Story) -> None:
    """An order of our own, until it is matched."""
    async with Client(story.venue.url, story.ledger, PATIENT) as client:
        answer = await client.place(Terms("watcher", "BTC-USD", "buy", "limit", "0.01", "1.00"))
        assert answer.outcome is Outcome.OK
        await client.matched(answer.json()["order_id"], RECOVERY_TIMEOUT_S)
