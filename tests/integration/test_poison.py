"""What anyone may write straight to the topics of a running venue: commands in every codec, transactions, garbage."""

import sys
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import DefaultRecordBatch

from app.local.venue import Venue
from app.models.commands import PlaceOrder, encode_command
from app.topics import BOOKS_CHANGELOG, EXECUTIONS, ORDERS
from app.verification.ledger import Outcome
from app.verification.running import Addresses, verify
from load.client import Client
from load.request import Terms
from tables.books.verification import changelog_states
from tests.app.test_engine import NUMBER, POISON
from tests.integration.conftest import list_market, records, reserved_instrument
from tests.postgres.recorded import ask
from tests.streaming.test_intact import CODECS, SPOILERS
from tests.until import until


async def test_a_venue_outlives_what_anyone_writes_to_its_log(venue: Venue) -> None:
    """Every poison of the engine's tests, between two orders: Postgres has each with its reason, the orders match."""
    number, database = NUMBER, venue.servers.database_url
    query = "SELECT seq, source_offset, reason FROM rejections WHERE instrument = %s ORDER BY seq"
    before = ask(database, query, reserved_instrument(number))
    pids = {name: process.identity for name, process in venue.processes.items()}
    market = await list_market(venue, number)
    async with Client(venue.url) as client:
        await _trade(client, market)
        offsets = await _write(venue, number)
        await _trade(client, market)
    wanted = [(offset, reason) for offset, (_, _, reason) in zip(offsets, POISON.values(), strict=True)]

    def recorded() -> bool:
        return len(ask(database, query, reserved_instrument(number))) >= len(before) + len(wanted)

    await until(recorded)
    after = ask(database, query, reserved_instrument(number))
    assert [(offset, reason) for _, offset, reason in after[len(before) :]] == wanted
    assert [seq for seq, _, _ in after] == list(range(1, len(after) + 1))
    assert {name: process.identity for name, process in venue.processes.items()} == pids, "somebody died of it"


async def test_every_reader_reads_what_kafka_takes(venue: Venue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands in each codec and in transactions, kept or aborted, are matched; what cannot be read is reported."""
    market, database = await list_market(venue, NUMBER), venue.servers.database_url
    unreadable = "SELECT count(*) FROM rejections WHERE instrument = %s AND raw LIKE 'unreadable:%%'"
    ((before,),) = ask(database, unreadable, reserved_instrument(NUMBER))
    pids = {name: process.identity for name, process in venue.processes.items()}
    keys = [await _place(venue, market, codec) for codec in (None, *CODECS)]
    keys += [await _place(venue, market, codec, is_kept) for codec in ("lz4", "zstd") for is_kept in (True, False)]
    for spoil in SPOILERS:
        with monkeypatch.context() as patched:
            patched.setattr(sys.modules[DefaultRecordBatch.__module__], "gzip_encode", spoil)
            await _place(venue, market, "gzip")
    await _repeat(venue, EXECUTIONS.name)
    await _repeat(venue, BOOKS_CHANGELOG.name)
    async with Client(venue.url) as client:
        await _trade(client, market)  # behind all of them in the log

    orders = "SELECT client_order_id, status FROM orders WHERE instrument = %s AND client_id = 'producer'"
    await until(lambda: len(ask(database, orders, market)) >= len(keys))
    assert {key for key, _ in ask(database, orders, market)} == set(keys)
    await until(lambda: ask(database, unreadable, reserved_instrument(NUMBER)) == [(before + len(SPOILERS),)])
    where = Addresses(venue.servers.broker, database, venue.url)
    verdict = await verify(where, states=changelog_states(where.broker))
    assert verdict.is_right, verdict.as_text()
    assert {name: process.identity for name, process in venue.processes.items()} == pids, "somebody died of it"


async def _place(venue: Venue, market: str, codec: str | None, is_kept: bool | None = None) -> str:
    """A valid order as another producer sends it, in a transaction that it keeps or aborts, or in none; its key."""
    key = uuid4().hex
    order = PlaceOrder(
        instrument=market,
        client_id="producer",
        client_order_id=key,
        side="buy",
        type="limit",
        price="1.00",
        quantity="1",
    )
    transaction = None if is_kept is None else f"poison-{key}"
    producer = AIOKafkaProducer(
        bootstrap_servers=venue.servers.broker, compression_type=codec, transactional_id=transaction
    )
    await producer.start()
    try:
        if transaction:
            await producer.begin_transaction()
        record = {"key": market.encode(), "partition": NUMBER, "headers": [("cafe", b"\xff"), ("", b"")]}
        await producer.send_and_wait(ORDERS.name, encode_command(order), **record)
        if transaction:
            await (producer.commit_transaction() if is_kept else producer.abort_transaction())
    finally:
        await producer.stop()
    return key


async def _repeat(venue: Venue, topic: str) -> None:
    """The last record of a topic once more in each codec, as a zombie repeats it."""
    found = await until(lambda: records(venue.servers.broker, topic), lambda found: found[NUMBER])
    last = found[NUMBER][-1]
    for codec in CODECS:
        producer = AIOKafkaProducer(bootstrap_servers=venue.servers.broker, compression_type=codec)
        await producer.start()
        try:
            await producer.send_and_wait(topic, last.value, key=last.key, partition=NUMBER)
        finally:
            await producer.stop()


async def _write(venue: Venue, partition: int) -> list[int]:
    """All poison to one partition; its offsets."""
    producer = AIOKafkaProducer(bootstrap_servers=venue.servers.broker, acks="all", max_request_size=2**20)
    await producer.start()
    try:
        return [
            (await producer.send_and_wait(ORDERS.name, value, key=key, partition=partition)).offset
            for key, value, _ in POISON.values()
        ]
    finally:
        await producer.stop()


async def _trade(client: Client, market: str) -> None:
    """One order, and one that takes it."""
    maker = await client.place(Terms("maker", market, "sell", "limit", "1.00", "100.00"))
    taker = await client.place(Terms("taker", market, "buy", "limit", "1.00", "100.00"))
    assert {maker.outcome, taker.outcome} == {Outcome.OK}
    assert (await client.matched(taker.json()["order_id"]))["status"] == "filled"
