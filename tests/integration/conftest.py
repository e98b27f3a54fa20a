"""Whole venues: servers and workers on free ports, started once for the tests that only use them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import TopicPartition

from app import app
from app.engine import partition_of
from app.local.venue import Venue, running_venue
from app.verification.engines import LogRecord
from app.verification.findings import Verdict
from app.verification.reading import KafkaStream, new_consumer
from app.verification.running import Addresses, verify
from load import run
from load.client import API, Client
from load.generator import requests
from load.ledger import Ledger
from load.openloop import OpenLoop
from load.profiles import MIXED, PROFILES
from tables.verification import changelog_states

LISTED_TIMEOUT_S = 60.0


@pytest.fixture(scope="session")
async def venue(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    """One process of each role, for tests that break nothing; snapshots come often, so that everything meets them."""
    async with running_venue(tmp_path_factory.mktemp("venue"), env={"SNAPSHOT_INTERVAL_S": "2"}) as running:
        yield running


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
    """Until the engine has done it: a gateway answers 202 after two seconds."""
    key = {"Idempotency-Key": str(uuid4())}
    async with asyncio.timeout(LISTED_TIMEOUT_S):
        while True:
            async with client.session.post(f"{client.url}{API}/instruments", json=rules, headers=key) as listed:
                if listed.status != 202:
                    assert listed.status == 201, await listed.text()
                    return


async def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Return once the condition holds; raises TimeoutError."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.05)


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


async def judge(venue: Venue, ledger: Ledger, timeout_s: float = 60.0) -> Verdict:
    """Wait until nothing is left to do, and have the naive engine judge everything, checkpoints included."""
    where = Addresses(venue.servers.broker, venue.servers.database_url, venue.url)
    states = changelog_states(where.broker)
    verdict = await verify(where, states=states, entries=ledger.entries, naive=True, timeout_s=timeout_s)
    assert verdict.is_right, verdict.as_text()
    assert not verdict.in_flight, verdict.as_text()
    return verdict


async def records(broker: str, topic: str) -> dict[int, list[LogRecord]]:
    """A whole topic by partition."""
    consumer = new_consumer(broker, topic)
    await consumer.start()
    try:
        found: dict[int, list[LogRecord]] = {}
        for where in [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]:
            consumer.unsubscribe()
            consumer.assign([where])
            first = (await consumer.beginning_offsets([where]))[where]
            consumer.seek(where, first)
            stream = KafkaStream(consumer, topic, where.partition, first, (await consumer.end_offsets([where]))[where])
            found[where.partition] = []
            while some := await stream.read():
                found[where.partition] += some
        return found
    finally:
        await consumer.stop()
