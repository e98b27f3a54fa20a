"""Faults under load, each followed by the checker with the naive engine: nothing lost, nothing doubled."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import pytest

from app.local.venue import Venue, running_venue
from load import request, strikes
from load.backoff import Backoff
from load.client import Client
from load.generator import requests
from load.ledger import Entry, Ledger, Outcome
from load.openloop import OpenLoop
from load.profiles import MIXED, PROFILES
from load.request import Kind, Terms
from load.target import Target
from tests.integration.conftest import judge
from tests.long import LONG

RATE = 100
BEFORE_S, AFTER_S = 2.0, 3.0  # orders flow before a fault, during it, and after it until there was a checkpoint
MOST_S = 120.0
AWAY_SECONDS = 10.0 if LONG else 4.0
LOCKED_SECONDS = 5.0
PAUSED_SECONDS = strikes.SESSION_TIMEOUT_S + 3.0
RECOVERY_TIMEOUT_S = 60.0
PATIENT, DRAIN_S = Backoff(attempts=45), 90.0  # a supervisor waits ever longer for what dies again and again
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


@pytest.fixture(scope="module")
async def story(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Story]:
    """A chapter's venue, struck by one fault after the other; the table is printed at the end."""
    folder: Path = tmp_path_factory.mktemp("faults")
    async with running_venue(folder) as running:
        told = Story(running)
        yield told
    print("", *told.lines, sep="\n")


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
        await asyncio.sleep(AWAY_SECONDS)
        await story.venue.servers.start()

    return strike


async def _one_key_on_two_gateways(story: Story) -> None:
    """The same request a hundred times at once, half of them to another gateway: one order."""
    venue = story.venue
    await venue.start_worker("gateway", 1)
    await venue.wait_ready("gateway", 1)
    asked = request.place(Kind.LIMIT, Terms("ann", "BNB-USD", "buy", "limit", "0.01", "1.00"), str(uuid4()))
    async with Client(venue.url, story.ledger) as one, Client(venue.web_url("gateway", 1), story.ledger) as other:
        answers = await asyncio.gather(*(client.send(asked) for client in 50 * (one, other)))
    await venue.stop_worker("gateway", 1)
    assert {answer.status for answer in answers} == {201}
    assert len({answer.json()["order_id"] for answer in answers}) == 1


async def _expiry_in_a_quiet_market(story: Story) -> None:
    """An order's time is over while its worker is dead: nothing but the new worker's tick can tell."""
    venue = story.venue
    async with Client(venue.url) as client:
        for lives_s in (2, 4, 8, 16):
            placed = await _good_till(client, time.time() + lives_s)
            if (await client.matched(placed["order_id"], RECOVERY_TIMEOUT_S))["status"] == "new":
                break
        await venue.kill("matching")
        async with asyncio.timeout(RECOVERY_TIMEOUT_S):
            while (await client.order(placed["order_id"]))["status"] != "expired":  # noqa: ASYNC110
                await asyncio.sleep(0.2)


async def _good_till(client: Client, expire_s: float) -> dict[str, Any]:
    """An order that rests until this time, in seconds since 1970."""
    expire = datetime.fromtimestamp(expire_s, UTC).isoformat(timespec="milliseconds")
    order = {"client_id": "ann", "instrument": "MATIC-USD", "side": "buy", "type": "limit", "quantity": "0.01"}
    order |= {"price": "1.00", "time_in_force": "GTD", "expire_time": expire, "client_order_id": str(uuid4())}
    async with client.session.post(f"{client.url}/api/v1/orders", json=order) as answer:
        assert answer.status == 201, await answer.text()
        placed: dict[str, Any] = await answer.json()
        return placed


# In `make test` too. A server that was away is not supervised any more, so that comes last.
SHORT_FAULTS: dict[str, Strike] = {
    "kill -9 matching": killed("matching-0"),
    "kill -9 all workers": killed("matching-0", "recording-0", "gateway-0"),
    "kill -9 Kafka": killed("kafka"),
    "expiry in a quiet market": _expiry_in_a_quiet_market,
    "Postgres away": away("postgres"),
}
# Each chapter has a venue of its own: everything that it was ever asked is judged after each fault.
LONG_FAULTS: dict[str, dict[str, Strike]] = {
    "one process": {
        "SIGTERM gateway": told_to_stop("gateway"),
        "kill -9 recording": killed("recording-0"),
        "kill -9 gateway": killed("gateway-0"),
        "kill -9 Valkey": killed("valkey"),
        "kill -9 Postgres": killed("postgres"),
        "kill -9 matching in a loop, loading": killed_in_a_loop("matching-0", 1.7),
        "kill -9 recording in a loop": killed_in_a_loop("recording-0", 1.2),
        "Kafka away": away("kafka"),
    },
    "several processes": {
        "kill -9 matching and recording": killed("matching-0", "recording-0"),
        "kill -9 matching and gateway": killed("matching-0", "gateway-0"),
        "kill -9 recording and gateway": killed("recording-0", "gateway-0"),
        "kill -9 matching and Kafka": killed("matching-0", "kafka"),
        "kill -9 recording and Postgres": killed("recording-0", "postgres"),
        "kill -9 everything": killed("matching-0", "recording-0", "gateway-0", "kafka", "postgres", "valkey"),
        "one key on two gateways": _one_key_on_two_gateways,
    },
    "nobody dies": {
        "matching paused past its session": paused(PAUSED_SECONDS, "matching-0"),
        "recording paused past its session": paused(PAUSED_SECONDS, "recording-0"),
        "gateway paused": paused(LOCKED_SECONDS, "gateway-0"),
        "Kafka paused": paused(LOCKED_SECONDS, "kafka"),
        "Postgres' tables locked": lambda story: strikes.lock_tables(story.target, LOCKED_SECONDS),
        "Valkey flushed": lambda story: strikes.flush_keys(story.target),
        "matching's folder deleted": lambda story: strikes.delete_tables(story.target, "matching-0"),
        "matching's RocksDB corrupted": lambda story: strikes.corrupt_tables(story.target, "matching-0", Random(1)),
        "consumer group deleted": lambda story: strikes.delete_group(story.target, "matching-0"),
        "poison straight to the topic": lambda story: strikes.poison(story.target),
        "transactions straight to the topic": lambda story: strikes.use_transactions(story.target),
    },
}
CHAPTERS = {"short": SHORT_FAULTS} | (LONG_FAULTS if LONG else {})
CASES = [(chapter, name) for chapter, faults in CHAPTERS.items() for name in faults]
STRIKES = {name: strike for faults in CHAPTERS.values() for name, strike in faults.items()}


@pytest.mark.parametrize(("story", "name"), CASES, indirect=["story"], scope="module")
async def test_a_fault_under_load_loses_nothing_and_doubles_nothing(name: str, story: Story) -> None:
    """Every new order is accepted in the end, and topics, books, Postgres and answers are what the log gives."""
    venue, number = story.venue, [*STRIKES].index(name)
    stream = requests(PROFILES["crossing"], number, MIXED, tag=f"fault{number}")
    loop = OpenLoop(
        venue.url, stream, RATE, MOST_S, connections=16, timeout_s=5.0, backoff=PATIENT, drain_s=DRAIN_S, seed=number
    )
    running = asyncio.create_task(loop.run())
    await asyncio.sleep(BEFORE_S)
    struck = time.monotonic()
    await STRIKES[name](story)
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
