"""Logs that have lost something, copies of different days, a read-only database, a partition too many: in one venue.

The tests build on each other, in their order: a copy of the data folders is a backup, taken while the servers are down.
"""

import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import psycopg2
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.new_partitions import NewPartitions

from app.configuration import ROLES
from app.kafka.groups import members
from app.kafka.reading import bounds
from app.local.postgres import DATABASE
from app.local.venue import Venue
from app.setup import prepare
from app.topics import BOOKS_CHANGELOG, CANDLES, CANDLES_CHANGELOG, EXECUTIONS, ORDERS, TRADES
from load import strikes
from load.client import Client
from load.ledger import Ledger
from load.request import Terms
from tests.integration.conftest import cli, end_of, judge
from tests.long import LONG
from tests.until import until
from tests.venues import running_venue

pytestmark = pytest.mark.skipif(not LONG, reason="takes minutes: in `make faults`")

PARTITIONS = 8
MARKETS = ("BTC-USD", "ETH-USD", "XRP-USD")
SERVERS = ("kafka", "postgres")
UNTIL_S = 120.0
CUT_BYTES = 30
QUIET = {"SNAPSHOT_INTERVAL_S": "0"}


class Copies:
    """A venue, what it was asked as far as it must know it, and copies of its servers' folders."""

    def __init__(self, venue: Venue) -> None:
        self.venue, self.ledger = venue, Ledger()

    async def trade(self, orders: int = 4) -> None:
        """Some orders in each market, carried out when this returns."""
        async with Client(self.venue.url, self.ledger) as client:
            for number in range(orders * len(MARKETS)):
                side, price = ("buy", "1.00") if number % 2 else ("sell", "0.50")
                answer = await client.place(Terms("ann", MARKETS[number % len(MARKETS)], side, "limit", "0.01", price))
                await client.matched(answer.json()["order_id"], UNTIL_S)

    async def judge(self) -> None:
        """Everything is right."""
        await judge(self.venue, self.ledger)

    async def keep(self, name: str) -> Ledger:
        """Stop everything and copy what the servers have; answers what had been asked."""
        await self.venue.stop()
        for server in SERVERS:
            _copy(self.venue.folder / server, self.venue.folder / name / server)
        return _same(self.ledger)

    async def restore(self, ledger: Ledger, **copies: str) -> None:
        """Stop everything and bring back servers' folders from the copies of these names."""
        await self.venue.stop()
        self.ledger = _same(ledger)
        for server, name in copies.items():
            shutil.rmtree(self.venue.folder / server)
            _copy(self.venue.folder / name / server, self.venue.folder / server)

    async def crash(self, cut: str | None = None) -> None:
        """Kill Kafka, and take the end off the largest segment of this topic; everything else is stopped before."""
        for role in ROLES:
            await self.venue.stop_worker(role)
        await self.venue.kill("kafka")
        segments = (self.venue.folder / "kafka" / "data").glob(f"{cut}-*/*.log")
        largest = max(segments, key=lambda file: file.stat().st_size)
        os.truncate(largest, largest.stat().st_size - CUT_BYTES)
        await self.start_servers()

    async def start_servers(self) -> None:
        """As `up` does before it starts the workers."""
        await self.venue.start_servers()
        await prepare(self.venue.servers.broker, self.venue.servers.database_url)


def _same(ledger: Ledger) -> Ledger:
    copied = Ledger()
    for entry in ledger:
        copied.record(entry)
    return copied


def _copy(source: Path, target: Path) -> None:
    """With its owner: Postgres wants its folder to be its own."""
    shutil.copytree(source, target)
    owner = source.stat()
    for path in (target, *target.rglob("*")):
        shutil.chown(path, owner.st_uid, owner.st_gid)


@pytest.fixture(scope="module")
async def copies(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Copies]:
    async with running_venue(tmp_path_factory.mktemp("restored"), supervised=False, env=QUIET) as running:
        found = Copies(running)
        await found.trade()
        yield found


def ask(url: str, statement: str) -> None:
    """Run a statement in a database of its own choice, outside of a transaction."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()


async def readiness(url: str) -> dict[str, str]:
    """What a worker's /readyz says; nothing before it has a web server."""
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/readyz") as response:
            found: dict[str, str] = json.loads(await response.read())
            return found
    except aiohttp.ClientConnectionError:
        return {}


async def until_ready_says(url: str, name: str, text: str) -> None:
    await until(lambda: readiness(url), lambda said: text in said.get(name, ""), UNTIL_S)


async def test_recording_waits_for_a_database_that_is_read_only(copies: Copies) -> None:
    """After a failover: it tells its operator once, the gateway tells that history stands still, and it catches up."""
    venue, database = copies.venue, copies.venue.servers.database_url
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    ask(database, f"ALTER DATABASE {DATABASE} SET default_transaction_read_only = on")
    ask(database, f"SELECT pg_terminate_backend(pid) {others}")
    await copies.trade()
    await until_ready_says(venue.web_url("recording"), "waits_for", "Postgres is read-only: ")
    assert (await readiness(venue.web_url("recording")))["status"] == "degraded"
    await until_ready_says(venue.url, "recording", "stalled, ")
    assert (await readiness(venue.url))["status"] == "degraded"
    ask(database.replace(f"/{DATABASE}", "/postgres"), f"ALTER DATABASE {DATABASE} RESET ALL")
    await until_ready_says(venue.url, "recording", "ok")
    await copies.judge()
    assert venue.process("recording").running
    assert venue.log("recording-0").read_text().count("Postgres is read-only, recording waits until it can") == 1


async def test_recording_that_starts_without_postgres_waits_for_it(copies: Copies) -> None:
    """It is not ready, says why, and is when Postgres is back; its process stays."""
    venue = copies.venue
    for name in ("recording", "postgres"):
        await venue.stop_worker(name)
    process = await venue.start_worker("recording")
    await until_ready_says(venue.web_url("recording"), "waits_for", "Postgres is away: ")
    await venue.servers.start()
    await venue.wait_ready("recording")
    assert process.running


async def test_a_partition_that_was_added_to_orders_is_left_alone(copies: Copies) -> None:
    """Kafka cannot take it away again: the venue keeps to the number that it was made with."""
    venue, broker = copies.venue, copies.venue.servers.broker
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    await admin.create_partitions({ORDERS.name: NewPartitions(PARTITIONS + 1)})
    await admin.close()
    for role in ("matching", "gateway", "recording"):
        await venue.stop_worker(role)
    for role, setting in (("matching", "9"), ("gateway", "9"), ("recording", "4")):
        sentence = f"made with 8 partitions, the setting topic_partitions says {setting}: set it to 8"
        assert sentence in await end_of(venue, role, TOPIC_PARTITIONS=setting)
    producer = AIOKafkaProducer(bootstrap_servers=broker)
    await producer.start()
    await producer.send_and_wait(ORDERS.name, b"{}", key=b"BTC-USD", partition=PARTITIONS)
    await producer.stop()
    await until(lambda: members(broker, "matching"), lambda found: not found, UNTIL_S)
    await venue.start()
    await copies.trade()
    log, named = venue.log("matching-0"), "orders[8] has records (0 to 0), the venue has only the first 8"
    await until(lambda: named in log.read_text(), timeout_s=UNTIL_S)
    assert venue.process("matching").running
    await copies.judge()


async def test_copies_of_different_days(copies: Copies) -> None:
    """Kafka older than Postgres is refused by everyone who knows better; the other ways are venues of their day."""
    venue = copies.venue
    old = await copies.keep("old")
    await venue.start()
    await copies.trade()
    await copies.judge()
    new = await copies.keep("new")
    days = [(old, {"kafka": "old", "postgres": "old"}), (new, {"kafka": "new", "postgres": "old"})]

    await copies.restore(old, kafka="old")
    await copies.start_servers()
    for role in ("recording", "gateway"):
        told = (await end_of(venue, role)).splitlines()[-1]
        assert re.search(
            r"Postgres has recorded executions\[\d\] up to \d+, but the topic ends at \d+: Kafka's data", told
        )

    for ledger, folders in days:
        await copies.restore(ledger, **folders)
        await venue.start()
        await copies.trade()
        await copies.judge()


async def test_reports_that_are_lost_are_sent_again_after_a_rebuild(copies: Copies) -> None:
    """Snapshots cover them, so a worker would not send them again by itself."""
    venue, broker = copies.venue, copies.venue.servers.broker
    before = await bounds(broker, EXECUTIONS.name, range(PARTITIONS))
    await copies.crash(cut=EXECUTIONS.name)
    for role in ("recording", "gateway"):
        told = (await end_of(venue, role)).splitlines()[-1]
        assert re.search(r"executions\[\d\] .* records are missing|Kafka's data are older", told), told
    rebuilt = await cli(venue, "rebuild")
    assert rebuilt.code == 0, rebuilt
    await venue.start_worker("matching")
    await until(lambda: bounds(broker, EXECUTIONS.name, range(PARTITIONS)), lambda found: found == before, UNTIL_S)
    await venue.start()
    await copies.trade()
    await copies.judge()


async def test_commands_that_are_lost_are_noticed_and_can_be_given_up(copies: Copies) -> None:
    """The last report belongs to a command that is gone. What is left can be computed again, into empty topics."""
    venue = copies.venue
    await copies.crash(cut=ORDERS.name)
    for role in ("matching", "gateway"):
        told = (await end_of(venue, role)).splitlines()[-1]
        lost = r"orders\[\d\] ends at \d+, .* the record at \d+: acknowledged records are missing"
        assert re.search(lost, told), told
    broker, database = venue.servers.broker, venue.servers.database_url
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    outputs = {topic.name for topic in (EXECUTIONS, TRADES, CANDLES, BOOKS_CHANGELOG, CANDLES_CHANGELOG)}
    await admin.delete_topics([*outputs])
    await until(admin.list_topics, lambda found: not outputs & {*found}, UNTIL_S)
    await admin.close()
    for role in ("matching", "analytics"):
        await strikes.delete_group_of(role, broker)
    ask(database.replace(f"/{DATABASE}", "/postgres"), f"DROP DATABASE {DATABASE} WITH (FORCE)")
    copies.ledger = Ledger()
    await venue.start()
    await copies.trade()
    await copies.judge()
