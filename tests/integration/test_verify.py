"""`verify`, `rebuild` and `table` on a real venue: what is right passes, and each lie in what is durable is found."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from uuid import uuid4

import aiohttp
import psycopg2
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from app.engine import partition_of
from app.kafka.groups import members
from app.local.venue import Venue
from app.streaming.failstop import EXIT_CODE
from app.topics import BOOKS_CHANGELOG, EXECUTIONS, ORDERS, TOPICS
from load.client import Client
from load.ledger import Ledger
from load.request import Terms
from tables.recovery.changelog import manifest_key, manifest_value
from tests.integration.conftest import COMMAND_TIMEOUT_S, Traded, cli, list_market, records, under_load
from tests.streaming.test_intact import flip_a_bit
from tests.until import LONG_PAUSE_S, until

PARTITIONS = 8
RATE = 30
REFUSAL_TIMEOUT_S = 120.0


@pytest.fixture(scope="module")
def venue(traded: Traded) -> Venue:
    """The last test module that uses it may break it."""
    traded.ledger.write(traded.venue.folder / "ledger.jsonl")
    return traded.venue


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
        told = await cli(venue, "verify", "--naive", "--json", "--url", venue.url, "--ledger", ledger)
    verdict = json.loads(told.out)
    assert told.code == 0 and verdict["right"], told
    assert verdict["addresses"]["Kafka"] == venue.servers.broker and verdict["addresses"]["gateway"] == venue.url
    assert verdict["addresses"]["Postgres"] == venue.servers.database_url and len(verdict["log_ids"]) == PARTITIONS
    assert {finding["check"] for finding in verdict["findings"]} == {"O1", "O2", "O3", "O4", "O5", "O6", "O8"}
    assert "snapshots, id blocks and manifests" in {finding["about"] for finding in verdict["findings"]}


async def test_a_table_shows_what_the_worker_has(venue: Venue) -> None:
    """Beside the running worker, from its disk; and from the changelog, from anywhere."""
    market = await list_market(venue)  # the smaller a market, the sooner it has a snapshot
    async with Client(venue.url) as client:
        placed = (await client.place(Terms("watcher", market, "buy", "limit", "0.01", "1.00"))).json()
        await client.matched(placed["order_id"])
    for where in ("--local", "--changelog"):
        command = ("table", "books", market, where, "--json")
        told = await until(
            lambda command=command: cli(venue, *command),
            lambda told: placed["order_id"] in told.out,
            COMMAND_TIMEOUT_S,
            LONG_PAUSE_S,
        )
        assert told.code == 0, told
        shown = json.loads(told.out)
        assert shown["instrument"] == market and shown["bids"][-1]["order_id"] == placed["order_id"]
        found = await cli(venue, "table", "order-ids", placed["order_id"], where)
        assert found.code == 0 and f"id {placed['order_id']}  seq {shown['bids'][-1]['seq']}" in found.out
    listed = await cli(venue, "table", "books")
    assert listed.code == 0 and market in listed.out


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
    finally:
        await configure(venue, ORDERS.name, "message.timestamp.type", "LogAppendTime")
    told = await _refusal(venue, TOPIC_PARTITIONS="4")
    assert "the venue was made with 8 partitions, the setting topic_partitions says 4: set it to 8" in told


async def test_a_worker_refuses_the_books_of_another_log(venue: Venue) -> None:
    """Topics that were recreated, or restored from different days."""
    other = manifest_value(10**9, str(uuid4()), {}, 0)
    await write(venue, BOOKS_CHANGELOG.name, 3, manifest_key(10**9), other)
    assert "the changelog is that of another orders log" in await _refusal(venue)
    await write(venue, BOOKS_CHANGELOG.name, 3, manifest_key(10**9), None)


async def test_a_damaged_log_is_named_by_everyone_who_reads_it(venue: Venue) -> None:
    """A flipped bit in a segment of `orders`: one sentence, from the worker, `verify`, `rebuild` and the gateway."""
    partition = partition_of("BTC-USD", PARTITIONS)
    await write(venue, ORDERS.name, partition, b"BTC-USD", b"a record that will be damaged")
    flip_a_bit(venue.servers.folder, f"{ORDERS.name}-{partition}", b"a record that will be damaged")
    sentence = f"{ORDERS.name}[{partition}] is damaged at offset "

    log = venue.log("matching-0")
    await venue.start_worker("matching")
    await until(lambda: sentence in log.read_text(), timeout_s=REFUSAL_TIMEOUT_S)
    told = await cli(venue, "verify")
    assert told.code == 1 and told.err.splitlines()[-1].startswith(f"Error: {sentence}"), told
    async with aiohttp.ClientSession() as session, asyncio.timeout(REFUSAL_TIMEOUT_S):
        while (ready := await _readiness(session, venue))["status"] != "not ready":  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.5)
    assert ready["matching"].startswith(f"no order is matched; {sentence}")
    await venue.stop_worker("matching")
    told = await cli(venue, "rebuild")
    assert told.code == 1 and told.err.splitlines()[-1].startswith(f"Error: {sentence}"), told


async def _readiness(session: aiohttp.ClientSession, venue: Venue) -> dict[str, str]:
    """What the gateway's /readyz says."""
    async with session.get(f"{venue.url}/readyz") as ready:
        said: dict[str, str] = await ready.json()
        return said


async def _refusal(venue: Venue, **env: str) -> str:
    """What a matching worker says that ends instead of becoming ready."""
    log = venue.log("matching-0")
    said, before = len(log.read_bytes()), venue.processes.pop("matching-0")
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
