"""Whole venues: servers and workers on free ports, started once for the tests that only use them."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import aiohttp
import pytest
from aiokafka import TopicPartition

from app import app
from app.engine import partition_of
from app.kafka.reading import LogRecord, Stretch, new_reader
from app.local.venue import Venue
from app.streaming.failstop import EXIT_CODE
from app.verification.findings import Verdict
from app.verification.running import Addresses, verify
from load import run
from load.client import API, Client
from load.generator import requests
from load.ledger import Ledger
from load.openloop import OpenLoop
from load.profiles import MIXED, PROFILES
from tables.books.verification import changelog_states
from tables.candles.verification import candles_states
from tests import warm
from tests.integration.often import OFTEN
from tests.until import until_done
from tests.venues import running_venue

PATIENT = {"BROKER_SESSION_TIMEOUT": "20"}
"""For venues whose processes die while another venue is at work beside them: to join a group may take six seconds."""
TRADED_S, TRADED_RATE = 4.0, 100
END_TIMEOUT_S = 120.0
COMMAND_TIMEOUT_S = 300.0
ROOT = Path(__file__).parents[2]


WHERE = re.compile(r"\A[^\n]+ \(as given\)\n")
"""The line on standard error that says on which venue a command acted."""


class Told(NamedTuple):
    """What a command said, without the line that says where."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="package")
async def venue(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    """One process of each role, for tests that break nothing; snapshots come often, so that everything meets them.

    No ticks close bars: a test may compare a copy of the database with the log as it was.
    """
    env = {"SNAPSHOT_INTERVAL_S": "2", "BAR_CLOSE_S": "0"}
    async with running_venue(tmp_path_factory.mktemp("venue"), env=env) as running:
        yield running


class Traded(NamedTuple):
    """A venue that has traded, and what its clients were told."""

    venue: Venue
    ledger: Ledger


@pytest.fixture(scope="package")
async def traded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Traded]:
    """A venue that was found right after some trading, in which nobody starts again what stops.

    Whoever breaks it comes last: tests/integration/test_verify.py.
    """
    # Ticks would go on for minutes after the trading.
    env = {"BAR_CLOSE_S": "0"}
    async with running_venue(tmp_path_factory.mktemp("verified"), supervised=False, env=env) as running:
        await running.stop_worker("matching")
        await running.start_worker("matching", program=OFTEN)  # snapshots of what has traded, too
        await running.wait_ready("matching")
        stream = requests(PROFILES["crossing"], 3, MIXED, tag="verified")
        loop = OpenLoop(running.url, stream, TRADED_RATE, TRADED_S, connections=16, timeout_s=5.0, seed=3)
        await loop.run()
        verdict = await run.check(addresses(running), loop.ledger)
        assert verdict.is_right, verdict.as_text()
        yield Traded(running, loop.ledger)


@pytest.fixture
async def unsupervised(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    """A venue in which nobody starts again what dies."""
    async with running_venue(tmp_path_factory.mktemp("unsupervised"), supervised=False) as running:
        yield running


def addresses(venue: Venue) -> run.Venue:
    """Where an outside client finds it."""
    return run.Venue(venue.url, venue.servers.broker, venue.servers.database_url)


async def list_market(venue: Venue, partition: int | None = None) -> str:
    """A market of the test's own with default sizes, in this partition if one is given; known to the gateway."""
    names = (f"T{uuid4().hex[:10]}-USD".upper() for _ in iter(int, 1))
    count = app.conf.topic_partitions
    name = next(name for name in names if partition in (None, partition_of(name, count)))
    rules = {"instrument": name, "base_asset": "T", "quote_asset": "USD", "tick_size": "0.01", "lot_size": "0.01"}
    async with Client(venue.url) as client:
        await list_instrument(client, rules)
    return name


async def list_instrument(client: Client, rules: dict[str, Any]) -> None:
    """Return once the engine has done it."""
    key = {"Idempotency-Key": str(uuid4())}

    async def post() -> aiohttp.ClientResponse:
        async with client.session.post(f"{client.url}{API}/instruments", json=rules, headers=key) as listed:
            await listed.read()
            return listed

    listed = await until_done(post)
    assert listed.status == 201, await listed.text()


def reserved_instrument(partition: int) -> str:
    """The name under which records are reported that belong to no listed instrument."""
    return f"_partition-{partition}"


@asynccontextmanager
async def under_load(venue: Venue, ledger: Ledger, rate: float, seed: int, tag: str) -> AsyncIterator[None]:
    """Orders flow inside; what was asked is in the ledger afterwards, unknown if it had no answer by then."""
    stream = requests(PROFILES["crossing"], seed, MIXED, tag=tag)
    loop = OpenLoop(venue.url, stream, rate, seconds=3600, connections=16, timeout_s=5.0, seed=seed)
    running = asyncio.create_task(loop.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        for entry in loop.ledger:
            ledger.record(entry)


async def cli(venue: Venue, *arguments: str, **other: str) -> Told:
    """Run `faust -A app …` against the venue; `other` replaces some of its addresses."""
    env = os.environ | venue.env | {"APP_DATADIR": str(venue.folder / "workers" / "matching-0")} | other
    process = await asyncio.create_subprocess_exec(
        warm.faust(),
        "-A",
        "app",
        *arguments,
        cwd=ROOT,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), COMMAND_TIMEOUT_S)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return Told(process.returncode, out.decode(), WHERE.sub("", err.decode()))


async def end_of(venue: Venue, role: str, **env: str) -> str:
    """What a worker writes into its log that ends instead of becoming ready."""
    log = venue.log(f"{role}-0")
    before = log.stat().st_size
    process = await venue.start_worker(role, env=env)
    code = await asyncio.wait_for(process.wait(), END_TIMEOUT_S)
    said = log.read_bytes()[before:].decode()
    assert code == EXIT_CODE, said
    return said


async def judge(venue: Venue, ledger: Ledger, timeout_s: float = 60.0) -> Verdict:
    """Wait until nothing is left to do, and have the naive engine judge everything, checkpoints included."""
    where = Addresses(venue.servers.broker, venue.servers.database_url, venue.url)
    states, bars = changelog_states(where.broker), candles_states(where.broker)
    verdict = await verify(
        where, states=states, bar_states=bars, entries=ledger.entries, naive=True, timeout_s=timeout_s
    )
    assert verdict.is_right, verdict.as_text()
    assert not verdict.in_flight, verdict.as_text()
    return verdict


async def records(broker: str, topic: str) -> dict[int, list[LogRecord]]:
    """A whole topic by partition."""
    consumer = new_reader(broker, topic)
    await consumer.start()
    try:
        found: dict[int, list[LogRecord]] = {}
        for where in [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]:
            consumer.unsubscribe()
            stream = await Stretch.whole(consumer, where)
            found[where.partition] = []
            while some := await stream.read():
                found[where.partition] += some
        return found
    finally:
        await consumer.stop()
