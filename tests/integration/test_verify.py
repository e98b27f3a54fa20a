"""`verify`, `rebuild` and `table` on a real venue: what is right passes, and each lie in what is durable is found."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import psycopg2
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from app.engine import partition_of
from app.groups import members
from app.local.venue import Venue, running_venue
from app.streaming.failstop import EXIT_CODE
from app.topics import BOOKS_CHANGELOG, EXECUTIONS, ORDERS, TOPICS
from load.client import Client
from load.generator import requests
from load.ledger import Ledger
from load.openloop import OpenLoop
from load.profiles import MIXED, PROFILES
from load.request import Terms
from load.run import check
from tables.changelog import manifest_key, manifest_value
from tests.integration.conftest import addresses, records, under_load

FAUST = Path(sys.executable).with_name("faust")
ROOT = Path(__file__).parents[2]
PARTITIONS = 8
SECONDS = 4.0
RATE = 100
REFUSAL_TIMEOUT_S = 120.0
COMMAND_TIMEOUT_S = 300.0


class Told(NamedTuple):
    """What a command said."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
async def venue(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    """A venue that has traded, in which nobody starts again what stops."""
    async with running_venue(tmp_path_factory.mktemp("verified"), supervised=False) as running:
        stream = requests(PROFILES["crossing"], 3, MIXED, tag="verified")
        loop = OpenLoop(running.url, stream, RATE, SECONDS, connections=16, timeout_s=5.0, seed=3)
        await loop.run()
        verdict = await check(addresses(running), loop.ledger)
        assert verdict.is_right, verdict.as_text()
        loop.ledger.write(running.folder / "ledger.jsonl")
        yield running


async def cli(venue: Venue, *arguments: str) -> Told:
    """Run `faust -A app …` against the venue."""
    env = os.environ | venue.env | {"APP_DATADIR": str(venue.folder / "workers" / "matching-0")}
    process = await asyncio.create_subprocess_exec(
        FAUST,
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
    where, _, told = err.decode().partition("\n")
    assert where.endswith(" (as given)"), where
    return Told(process.returncode, out.decode(), told)


async def write(venue: Venue, topic: str, partition: int, key: bytes, value: bytes | None) -> None:
    """Append a record to a topic, as whoever damages it would."""
    producer = AIOKafkaProducer(bootstrap_servers=venue.servers.broker)
    await producer.start()
    try:
        await producer.send_and_wait(topic, value, key=key, partition=partition)
    finally:
        await producer.stop()


async def test_an_honest_venue_is_right_while_it_works(venue: Venue) -> None:
    """Orders keep coming, an operator acts; everything is equal, the ledger and a gateway's books included."""
    async with under_load(venue, Ledger(), RATE, seed=4, tag="meanwhile"):
        halted, listed, taken = await asyncio.gather(
            cli(venue, "halt", "DOT-USD"),
            cli(venue, "list-instrument", "SHIB-USD", "0.01", "1", "--rule", "max_fills=50"),
            cli(venue, "snapshot", "BTC-USD"),
        )
        opened = await cli(venue, "resume", "DOT-USD")
        assert halted.out.startswith("DOT-USD  market_status halted"), halted
        assert opened.out.startswith("DOT-USD  market_status open"), opened
        assert listed.out.startswith("SHIB-USD  market_status open  tick_size 0.01  lot_size 1"), listed
        assert taken.out.startswith(f"orders[{partition_of('BTC-USD', PARTITIONS)}]@"), taken
        ledger = str(venue.folder / "ledger.jsonl")
        told = await cli(venue, "verify", "--oracle", "--json", "--url", venue.url, "--ledger", ledger)
    verdict = json.loads(told.out)
    assert told.code == 0 and verdict["right"], told
    assert {finding["oracle"] for finding in verdict["findings"]} == {"O1", "O2", "O3", "O4", "O5", "O6"}
    assert "snapshots, id blocks and manifests" in {finding["about"] for finding in verdict["findings"]}


async def test_a_table_shows_what_the_worker_has(venue: Venue) -> None:
    """Beside the running worker, from its disk; and from the changelog, from anywhere."""
    async with Client(venue.url) as client:
        placed = (await client.place(Terms("watcher", "BTC-USD", "buy", "limit", "0.01", "1.00"))).json()
        await client.matched(placed["order_id"])
    for where in ("--local", "--changelog"):
        command = ("table", "books", "BTC-USD", where, "--json")
        async with asyncio.timeout(COMMAND_TIMEOUT_S):  # a snapshot is at most two seconds behind
            while placed["order_id"] not in (told := await cli(venue, *command)).out:
                pass
        assert told.code == 0, told
        shown = json.loads(told.out)
        assert shown["instrument"] == "BTC-USD" and shown["bids"][-1]["order_id"] == placed["order_id"]
        found = await cli(venue, "table", "order-ids", placed["order_id"], where)
        assert found.code == 0 and f"id {placed['order_id']}  seq {shown['bids'][-1]['seq']}" in found.out
    listed = await cli(venue, "table", "books")
    assert listed.code == 0 and "BTC-USD" in listed.out and "LTC-USD" in listed.out


async def test_rebuild_refuses_while_a_worker_has_the_partitions(venue: Venue) -> None:
    """Two writers would not agree on what is damaged."""
    told = await cli(venue, "rebuild")
    assert told.code == 1 and "stop the matching workers first" in told.err
    assert len(await members(venue.servers.broker, "matching")) == 1
    assert await members(venue.servers.broker, "gateway") == []  # it has no group


async def test_a_report_that_is_repeated_last_is_nothing_to_wait_for(venue: Venue) -> None:
    """Who begins anew after a snapshot of one instrument reports what is younger of another one once more."""
    partition = partition_of("BTC-USD", PARTITIONS)
    told = (await records(venue.servers.broker, EXECUTIONS.name))[partition]
    await write(venue, EXECUTIONS.name, partition, told[-3].key, told[-3].value)
    verified = await cli(venue, "verify", "--timeout", "5")
    assert verified.code == 0 and "RIGHT" in verified.out, verified


async def alter_a_report(venue: Venue) -> None:
    """A repeated report with another quantity."""
    partition = partition_of("BTC-USD", PARTITIONS)
    report = (await records(venue.servers.broker, EXECUTIONS.name))[partition][-1]
    await write(venue, EXECUTIONS.name, partition, report.key, report.value.replace(b'"seq":', b'"seq": '))


async def alter_a_snapshot(venue: Venue) -> None:
    """The newest one of an instrument, without a change of its key."""
    partition = partition_of("LTC-USD", PARTITIONS)
    found = (await records(venue.servers.broker, BOOKS_CHANGELOG.name))[partition]
    last = [record for record in found if record.key.startswith(b"LTC-USD@") and record.value][-1]
    await write(venue, BOOKS_CHANGELOG.name, partition, last.key, last.value[:-20] + b"0" + last.value[-19:])


async def name_a_missing_snapshot(venue: Venue) -> None:
    """A snapshot that the newest manifest names is gone."""
    partition = partition_of("ETH-USD", PARTITIONS)
    found = (await records(venue.servers.broker, BOOKS_CHANGELOG.name))[partition]
    for key in {record.key for record in found if record.key.startswith(b"ETH-USD@")}:
        await write(venue, BOOKS_CHANGELOG.name, partition, key, None)


async def delete_a_row(venue: Venue) -> None:
    """One trade less in Postgres."""
    connection = psycopg2.connect(venue.servers.database_url)
    with connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM trades WHERE (instrument, seq) = (SELECT instrument, seq FROM trades LIMIT 1)")
    connection.close()


Lie = Callable[[Venue], Awaitable[None]]
LIES: list[tuple[Lie, str]] = [
    (alter_a_snapshot, "LTC-USD@"),
    (name_a_missing_snapshot, "names ETH-USD@"),  # in a partition that is looked at before
    (delete_a_row, "Postgres trades: no row for"),
    (alter_a_report, "is repeated with other bytes"),
]


async def test_lies_in_what_is_durable_are_found_and_rebuilt(venue: Venue) -> None:
    """Each has a sentence of its own; a worker refuses damaged states until `rebuild` has made them anew."""
    await venue.stop_worker("matching")
    before = await cli(venue, "verify")
    assert before.code == 0, before
    for lie, sentence in LIES[:3]:
        await lie(venue)
        told = await cli(venue, "verify")
        assert told.code == 1 and sentence in told.out, (lie.__name__, told)
    assert "state damaged, run `faust -A app rebuild`" in await _refusal(venue)

    rebuilt = await cli(venue, "rebuild", "--json")
    assert rebuilt.code == 0, rebuilt
    assert {one["partition"] for one in json.loads(rebuilt.out) if one["damage"]} == {
        partition_of("ETH-USD", PARTITIONS),
        partition_of("LTC-USD", PARTITIONS),
    }
    assert all(one["damage"] is None for one in json.loads((await cli(venue, "rebuild", "--json")).out))
    await venue.start_worker("matching")
    await venue.wait_ready("matching")

    lie, sentence = LIES[3]
    await lie(venue)
    told = await cli(venue, "verify")
    assert told.code == 1 and told.err.startswith("Error: O2: ") and sentence in told.err, told


async def test_a_worker_refuses_a_slot_that_is_taken(venue: Venue) -> None:
    """One live process for each slot, whoever starts it."""
    assert "is taken: the process" in await _refusal(venue)


async def test_a_worker_refuses_topics_with_other_settings(venue: Venue) -> None:
    """Without the broker's clock the engine would not be a function of the log."""
    await venue.stop_worker("matching")
    await configure(venue, ORDERS.name, "message.timestamp.type", "CreateTime")
    try:
        assert "topic orders has message.timestamp.type=CreateTime, it must be LogAppendTime" in await _refusal(venue)
        told = await _refusal(venue, TOPIC_PARTITIONS="4")
        assert "topic orders has 8 partitions, the setting topic_partitions says 4" in told
    finally:
        await configure(venue, ORDERS.name, "message.timestamp.type", "LogAppendTime")


async def test_a_worker_refuses_the_books_of_another_log(venue: Venue) -> None:
    """Topics that were recreated, or restored from different days."""
    other = manifest_value(10**9, str(uuid4()), {}, 0)
    await write(venue, BOOKS_CHANGELOG.name, 3, manifest_key(10**9), other)
    assert "the books are those of another orders log" in await _refusal(venue)
    await write(venue, BOOKS_CHANGELOG.name, 3, manifest_key(10**9), None)


async def _refusal(venue: Venue, **env: str) -> str:
    """What a matching worker says that ends instead of becoming ready."""
    log = venue.log("matching-0")
    said, before = len(log.read_bytes()), venue.processes["matching-0"]
    worker = await venue.start_worker("matching", env=env)
    venue.processes["matching-0"] = before  # the one that works, if any does
    assert await asyncio.wait_for(worker.wait(), REFUSAL_TIMEOUT_S) == EXIT_CODE
    return log.read_bytes()[said:].decode()


async def configure(venue: Venue, topic: str, name: str, value: str) -> None:
    """Set one setting of a topic."""
    admin = AIOKafkaAdminClient(bootstrap_servers=venue.servers.broker)
    await admin.start()
    try:
        settings = next(spec for spec in TOPICS if spec.name == topic).config | {name: value}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, settings)])
    finally:
        await admin.close()
