"""`verify` sees every stored field: one alteration each in what a real venue has recorded, and each found by name.

The fields come from the schema and the models (tests/integration/fields.py), so a new one is altered as well.
"""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import msgspec
import psycopg2
import pytest
from aiokafka import AIOKafkaProducer

from app import app
from app.engine import partition_of
from app.matching.commands import FeeSchedule, Listing
from app.matching.identities import BLOCK
from app.models.commands import (
    BustTrade,
    ClientFeeRates,
    FeeRates,
    PlaceOrder,
    SetInstrumentFees,
    SnapshotBook,
    encode_command,
)
from app.models.sealed import seal
from app.models.snapshots import State, decode_block, decode_state, encode_block, encode_state
from app.topics import BOOKS_CHANGELOG, CANDLES, EXECUTIONS, ORDERS, TRADES
from app.verification.bars import KEYS as BAR_KEYS
from app.verification.ledger import Entry, Outcome
from app.verification.rows import KEYS
from app.verification.running import Addresses, verify
from load.client import Client
from load.ledger import Ledger
from load.request import Terms
from tables.books.verification import changelog_states
from tables.recovery.changelog import MANIFEST, Manifest, block_key, decode_manifest, parse
from tables.recovery.checkpoint import MIN_EVENTS
from tests.integration import fields
from tests.integration.conftest import Traded, records, reserved_instrument
from tests.integration.fields import Path, alter_message, altered, has
from tests.integration.recording import COLUMNS, TABLES, Recorded, Topic, copied, record
from tests.until import LONG_PAUSE_S, until

CHANGELOG = BOOKS_CHANGELOG.name
MARKET, LARGE = "ETH-USD", "XRP-USD"
NUMBER, LARGE_NUMBER = (partition_of(name, app.conf.topic_partitions) for name in (MARKET, LARGE))
FOREIGN = str(UUID(int=99))
PARTS = 10  # of a verdict: everything but nothing is looked at
RESERVED = reserved_instrument(NUMBER)
assert NUMBER != LARGE_NUMBER


@pytest.fixture(scope="module")
async def everything(traded: Traded) -> Recorded:
    """The traded venue with a stop, an iceberg, poison, a snapshot, a canceled order, a complete id block besides."""
    venue, ledger = traded.venue, Ledger(list(traded.ledger.entries))
    broker = venue.servers.broker
    async with Client(venue.url, ledger) as client:
        placed = await client.place(Terms("watcher", MARKET, "buy", "limit", "0.01", "1.00"))
        assert (await client.cancel(placed.json()["order_id"])).status == 200
    await _write(broker, NUMBER, OTHERS)
    await _write(broker, LARGE_NUMBER, _ids(BLOCK + MIN_EVENTS))  # a snapshot lacks fewer than MIN_EVENTS
    wanted = {block_key(LARGE, 0): LARGE_NUMBER, f"{RESERVED}@".encode(): NUMBER, f"{MARKET}@".encode(): NUMBER}
    await until(
        lambda: records(broker, CHANGELOG),
        lambda changelog: not _is_missing(changelog, wanted),
        pause_s=LONG_PAUSE_S,
    )
    return await record(venue, ledger.entries)


def _is_missing(changelog: Topic, wanted: dict[bytes, int]) -> bool:
    """Whether of these beginnings of keys there is one that no key has."""
    return not all(any((r.key or b"").startswith(key) for r in changelog[n]) for key, n in wanted.items())


@pytest.fixture(scope="module")
async def recorded(traded: Traded, everything: Recorded) -> Recorded:
    """One partition of it, with its database."""
    return everything.only(NUMBER, await asyncio.to_thread(copied, traded.venue))


RESTS: dict[str, Any] = {"client_id": "rests", "side": "buy", "quantity": "0.01"}
UNLISTED = encode_command(PlaceOrder("NO-SUCH", client_order_id="key", type="limit", price="1", **RESTS))
STOP = {"client_order_id": "stop", "type": "stop_limit", "stop_price": "99999.00", "price": "99999.00"}
ICEBERG = {
    "client_order_id": "iceberg",
    "type": "limit",
    "price": "3.00",
    "quantity": "5",
    "display_quantity": "1",
    "time_in_force": "GTD",
    "expire_time": 2**42,
}
SELL = {"client_order_id": "sell", "type": "limit", "price": "99999.00", "side": "sell"}
RATES = FeeRates("-1", "2.5", {"rests": ClientFeeRates("1", "2")})
OTHERS = [
    (encode_command(PlaceOrder(MARKET, **RESTS | STOP)), MARKET),
    (encode_command(PlaceOrder(MARKET, **RESTS | ICEBERG)), MARKET),
    (encode_command(PlaceOrder(MARKET, **RESTS | SELL)), MARKET),
    (encode_command(SetInstrumentFees(MARKET, "fees", RATES)), MARKET),
    (encode_command(BustTrade(MARKET, "bust", f"{MARKET}-1", "an error")), MARKET),
    (encode_command(SnapshotBook(MARKET, "snapshot")), MARKET),
    (b"poison", MARKET),
    (UNLISTED, MARKET),
]


def _ids(count: int) -> list[tuple[bytes, str]]:
    """Orders that leave nothing but their ids, each with its key in the topic."""
    ends_at_once = RESTS | {"type": "limit", "price": "0.01", "time_in_force": "IOC"}
    orders = (PlaceOrder(LARGE, client_order_id=f"id-{n}", **ends_at_once) for n in range(count))
    return [(encode_command(order), LARGE) for order in orders]


async def _write(broker: str, partition: int, commands: list[tuple[bytes, str]]) -> None:
    producer: Any = AIOKafkaProducer(bootstrap_servers=broker, acks="all")
    await producer.start()
    try:
        sent = [
            await producer.send(ORDERS.name, value, key=key.encode(), partition=partition) for value, key in commands
        ]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def unseen(recorded: Recorded, *words: str) -> str | None:
    """What is wrong with the verdict on an altered recording: its first sentence must have all these words."""
    verdict = await recorded.judged()
    first = verdict.first or "RIGHT"
    return None if all(word in first for word in words) else f"{' '.join(words)}: {first}"


async def test_an_honest_recording_is_right(everything: Recorded, recorded: Recorded) -> None:
    """Otherwise it would prove nothing that altered ones are wrong."""
    for honest in (everything, recorded):
        verdict = await honest.judged()
        assert verdict.is_right, verdict.as_text()
    assert len([finding for finding in verdict.findings if finding.compared]) == PARTS, verdict.as_text()


def test_every_topic_and_table_is_compared_or_excused(recorded: Recorded) -> None:
    """A new one has to be named here, with the reason if nothing in the log says what must be in it."""
    assert fields.unknown_topics() == set()
    tables = {table for (table,) in _ask(recorded, TABLES)}
    assert tables == KEYS.keys() | BAR_KEYS.keys() | {"sink_progress"} | fields.EXCUSED_TABLES.keys()


@pytest.mark.parametrize(
    ("check", "topic", "paths"),
    [
        ("O2", EXECUTIONS.name, fields.REPORT_PATHS),
        ("O2", TRADES.name, fields.TRADE_PATHS),
        ("O8", CANDLES.name, fields.UPDATE_PATHS),
    ],
)
async def test_every_field_of_a_topic_is_compared(
    check: str, topic: str, paths: list[Path], recorded: Recorded
) -> None:
    """Named by topic, partition, offset and field, with what is found and what is right."""
    missed = []
    for path in paths:
        number, index, value = _record_with(recorded, topic, path)
        said = recorded.with_record(topic, number, index, value=value)
        # Of what an instrument and a seq are wrong in, the place says more than the field.
        words = (
            ()
            if path.names in (("instrument",), ("seq",), ("prev_seq",))
            else (path.names[-1], ", but ", " by the log")
        )
        missed.append(await unseen(said, f"{check}: {topic}[{number}]@{index}: ", *words))
    missed.append(await unseen(recorded.with_record(topic, number, index, key=b"OTHER"), f"@{index}: has the key"))
    assert not any(missed), "\n".join(filter(None, missed))


def _record_with(recorded: Recorded, topic: str, path: Path) -> tuple[int, int, bytes]:
    """A record that says something in this field, or could, and its value altered there."""
    found = [(number, each) for number, some in recorded.topics[topic].items() for each in some]
    for is_said in (True, False):
        for number, each in found:
            value = each.value or b""
            if (has(value, path) or not is_said) and (said := alter_message(value, path)) is not None:
                return number, each.offset, said
    pytest.fail(f"no record of {topic} has {path}: let the recording have one")


def _ask(recorded: Recorded, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(recorded.database_url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


async def test_every_column_is_compared(recorded: Recorded) -> None:
    """Named by table, key and column, with what is found and what is right; of a key, that its row is missing."""
    missed = []
    for table, column, type_ in _ask(recorded, COLUMNS):
        if table in fields.EXCUSED_TABLES:
            continue
        pick = f"SELECT ctid, {column}::text FROM {table} ORDER BY {column} IS NULL, ctid LIMIT 1"
        ((place, value),) = _ask(recorded, pick)
        change = f"UPDATE {table} SET {column} = {fields.SQL[type_].format(column)} WHERE ctid = %s RETURNING ctid"
        ((place,),) = _ask(recorded, change, place)
        words = _words(table, column)
        missed.append(await unseen(recorded, "Postgres ", *words))
        _ask(recorded, f"UPDATE {table} SET {column} = %s::{type_} WHERE ctid = %s", value, place)
    assert not any(missed), "\n".join(filter(None, missed))


def _words(table: str, column: str) -> tuple[str, ...]:
    keys = KEYS | BAR_KEYS
    if table not in keys:
        return (table,)  # a sink's position decides which rows there must be
    return (f"{table}: no row for ",) if column in keys[table] else (f"{table} ", f": {column} is ", " by the log ")


async def test_every_field_of_a_gateways_book_is_compared(recorded: Recorded) -> None:
    """Named by market, seq, field, with what is found and what is right."""
    book = recorded.books[MARKET]
    missed = []
    for path in fields.BOOK_PATHS:
        said = _altered_struct(book, path.names)
        words = ("is at seq",) if path.names == ("seq",) else (path.names[-1], ", but ", " as the log has it")
        wrong = replace(recorded, books=recorded.books | {book.instrument: said})
        missed.append(await unseen(wrong, f"O3: book of {book.instrument}", *words))
    assert not any(missed), "\n".join(filter(None, missed))


def _altered_struct(struct: Any, names: tuple[str, ...]) -> Any:
    value = getattr(struct, names[0])
    if len(names) == 1:
        return msgspec.structs.replace(struct, **{names[0]: altered(value)})
    return msgspec.structs.replace(struct, **{names[0]: [_altered_struct(value[0], names[1:]), *value[1:]]})


async def test_every_field_of_a_snapshot_is_compared(recorded: Recorded) -> None:
    """Named by partition, key and field, whatever valid checksums the altered record has."""
    missed = []
    for name in (MARKET, RESERVED):
        number, index, head, state = _newest_snapshot(recorded, name)
        where = f"O3: changelog[{number}]: {name}@{state.offset}: "
        for words, said in _altered_states(state):
            value, _ = encode_state(said, recorded.log_ids[number])
            missed.append(await unseen(recorded.with_record(CHANGELOG, number, index, value=value), where, words))
        payload = json.loads(head[32:])
        for place in range(len(fields.HEAD_FIELDS)):
            said = [altered(value) if at == place else value for at, value in enumerate(payload)]
            value = seal(json.dumps(said, separators=(",", ":")).encode())
            wrong = recorded.with_record(CHANGELOG, number, index, value=value)
            missed.append(await unseen(wrong, f"O3: changelog[{number}]: ", f"{name}@{state.offset}"))
    assert not any(missed), "\n".join(filter(None, missed))


def _newest_snapshot(recorded: Recorded, name: str) -> tuple[int, int, bytes, State]:
    """Of a market the newest with a bid, so that the fields of an order are altered too."""
    number = NUMBER
    for index, found in reversed(list(enumerate(recorded.topics[CHANGELOG][number]))):
        key = parse(found.key or b"")
        if found.value and key and key.name == name and key.offset is not None and key.chunk is None:
            state = decode_state(found.value, lambda chunk: None, recorded.log_ids[number])
            if getattr(state, "bids", True):
                return number, index, found.value, state
    pytest.fail(f"no snapshot of {name}: let the recording have one")


def _altered_states(state: State) -> Iterator[tuple[str, State]]:
    """The state with each of its fields altered, those of what is inside it included."""
    for name in state._fields:
        value = getattr(state, name)
        if isinstance(value, Listing | FeeSchedule):
            for field in value._fields:
                said = value._replace(**{field: altered(getattr(value, field))})
                verb = "has" if isinstance(getattr(value, field), tuple) else "is"
                yield f"{name}.{field} {verb} ", state._replace(**{name: said})
        elif isinstance(value, tuple):
            first = value[0] if value else state.bids[0]  # type: ignore[union-attr]
            yield f"{name} has ", state._replace(**{name: altered(value) if value else (first,)})
            for place, part in enumerate(first if value and isinstance(first, tuple) else ()):
                field = f".{first._fields[place]}" if hasattr(first, "_fields") else f"[{place}]"
                said = type(first)._make if hasattr(first, "_make") else tuple
                inside = said([altered(part) if at == place else other for at, other in enumerate(first)])
                yield f"{name}[0]{field} is ", state._replace(**{name: (inside, *value[1:])})
        else:
            yield f"{name} is ", state._replace(**{name: altered(value)})


async def test_every_field_of_an_id_block_is_compared(everything: Recorded) -> None:
    """Named by partition, key and place."""
    number, found = LARGE_NUMBER, everything.topics[CHANGELOG][LARGE_NUMBER]
    index = next(i for i, each in enumerate(found) if each.key == block_key(LARGE, 0))
    block, missed = decode_block(found[index].value or b""), []
    for place in range(len(fields.BLOCK_FIELDS)):
        first = tuple(altered(part) if at == place else part for at, part in enumerate(block[0]))
        wrong = everything.with_record(CHANGELOG, number, index, value=encode_block((first, *block[1:])))  # type: ignore[arg-type]
        where = f"O3: changelog[{number}]: the id block {LARGE}#0: [1][0][{place}] is "
        missed.append(await unseen(wrong, where, " by the log"))
    assert not any(missed), "\n".join(filter(None, missed))


async def test_every_field_of_a_manifest_is_compared(recorded: Recorded) -> None:
    """Fences are raised: one that is too low costs a reader time only."""
    number, found = NUMBER, recorded.topics[CHANGELOG][NUMBER]
    index = max(i for i, each in enumerate(found) if each.value and (each.key or b"").startswith(MANIFEST.encode()))
    manifest, missed = decode_manifest(found[index].value or b""), []
    for words, said in _altered_manifests(manifest):
        wrong = recorded.with_record(CHANGELOG, number, index, value=msgspec.json.encode(said))
        missed.append(await unseen(wrong, f": changelog[{number}]: ", words))
    assert not any(missed), "\n".join(filter(None, missed))


def _altered_manifests(manifest: Manifest) -> Iterator[tuple[str, Manifest]]:
    key, (offset, seq, executions) = f"{MANIFEST}@{manifest.floor}", manifest.named[MARKET]
    beyond = 10**9
    named = {
        f"names {MARKET}@{offset + 1}": (offset + 1, seq, executions),
        f"names {MARKET}@{offset} with seq {seq + 1}": (offset, seq + 1, executions),
        f"executions {beyond}": (offset, seq, beyond),
    }
    assert len(named) == len(manifest.named[MARKET])
    for words, three in named.items():
        yield words, msgspec.structs.replace(manifest, named=manifest.named | {MARKET: three})
    left = {name: three for name, three in manifest.named.items() if name != MARKET}
    others = {
        "floor": (f"{key} says floor {manifest.floor + 1}", manifest.floor + 1),
        "log_id": (f"{key} is of the log", altered(manifest.log_id)),
        "named": (MARKET, left),
        "outputs": (f"to executions {executions}, of what it does not name to {beyond}", beyond),
    }
    assert others.keys() == set(fields.MANIFEST_FIELDS)
    for name, (words, value) in others.items():
        yield words, msgspec.structs.replace(manifest, **{name: value})


async def test_every_field_of_the_ledger_is_compared_or_excused(recorded: Recorded) -> None:
    """What the client was told, about an order that was accepted; and a cancel that was carried out."""
    assert fields.EXCUSED_LEDGER.keys() <= set(fields.LEDGER_FIELDS)
    at, entry = next((at, e) for at, e in enumerate(recorded.entries) if e.status == 201)
    missed = []
    for name in fields.LEDGER_FIELDS:
        if name not in fields.EXCUSED_LEDGER:
            said = _altered_entry(entry, name)
            entries = [*recorded.entries[:at], said, *recorded.entries[at + 1 :]]
            missed.append(await unseen(replace(recorded, entries=entries), "O5: "))
    canceled = recorded.entries[-1]._replace(outcome=Outcome.REFUSED, status=409)
    wrong = replace(recorded, entries=[*recorded.entries[:-1], canceled])
    missed.append(await unseen(wrong, f"O5: 409 for the cancel of {canceled.request.order_id}"))
    assert not any(missed), "\n".join(filter(None, missed))


def _altered_entry(entry: Entry, name: str) -> Entry:
    if name == "status":
        return entry._replace(status=422)
    if name.startswith("request."):
        field = name.removeprefix("request.")
        return entry._replace(request=entry.request._replace(**{field: altered(getattr(entry.request, field))}))
    return entry._replace(**{name: altered(getattr(entry, name))})


async def test_a_foreign_database_is_named_first_and_at_once(traded: Traded) -> None:
    """All its rows differ, and it will never have recorded this log: neither is the cause, nor worth a wait."""
    venue = traded.venue
    url = await asyncio.to_thread(copied, venue)
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE sink_progress SET log_id = %s, next_offset = 0", [FOREIGN])
    connection.close()
    where = Addresses(venue.servers.broker, url.replace("postgres@", "postgres:secret@"), venue.url)

    verdict = await verify(where, states=changelog_states(where.broker))

    sentence = f"O1: Postgres sink_progress: executions[0] is of the log {FOREIGN}, orders[0] of {verdict.log_ids[0]}: "
    assert (verdict.first or "").startswith(sentence), verdict.as_text()
    assert verdict.addresses == {"Kafka": venue.servers.broker, "Postgres": url, "gateway": venue.url}
    assert all(text in verdict.as_text() for text in (*verdict.addresses.values(), *verdict.log_ids.values()))
    assert "secret" not in verdict.as_text()
