"""What is checked of fetched bytes: each flipped bit is damage with its place, each unreadable batch is one record."""

import gzip
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.consumer import fetcher
from aiokafka.record import MemoryRecords
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

import app
from app.kafka.reading import Stretch, new_reader
from app.local.servers import Servers
from app.streaming import codecs, intact
from app.streaming.fetching import Fetched
from app.streaming.intact import MAX_EXPANDED_BYTES, UNREADABLE, Batches, DamagedLog
from app.topics import ORDERS

assert app, "it makes every consumer read like this"
WHERE = TopicPartition(ORDERS.name, 3)
CODECS = ("gzip", "snappy", "lz4", "zstd")
EPOCH = range(12, 16)  # bytes of a batch that are the broker's own, in no checksum
ATTRIBUTES = 21  # where in a batch they begin; the checksum of the rest is before them
READ = tuple[int, bytes | None, bytes | None]


def batch(base: int, *values: bytes, codec: int = 0) -> bytes:
    """A batch of records as a broker keeps it."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 10**9)
    for number, value in enumerate(values):
        assert builder.append(number, timestamp=1_000, key=b"key", value=value, headers=[("name", b"")])
    return base.to_bytes(8, "big") + bytes(builder.build())[8:]


def read(log: list[bytes], topic: str = ORDERS.name) -> tuple[list[READ], int | None]:
    """What a reader gets of these batches, fetch by fetch, and the offset of the damage that ends it."""
    got: list[READ] = []
    position = 0
    while position < len(log):  # a batch for each offset, see LOG
        buffer = MemoryRecords(b"".join(log[position:]))
        if not buffer.has_next():
            return got, position  # aiokafka's RecordTooLargeError, which _set_error makes a DamagedLog
        where = WHERE._replace(topic=topic)
        records = fetcher.PartitionRecords(where, buffer, None, position, None, None, True, fetcher.READ_UNCOMMITTED)
        try:
            got += [(record.offset, record.key, record.value) for record in records]
        except DamagedLog as damage:
            return got, damage.offset
        assert records.next_fetch_offset > position, "a reader that does not get on reads for ever"
        position = records.next_fetch_offset
    return got, None


LOG = [batch(0, b"the first"), batch(1, b"the second"), batch(2, b"the third")]
RIGHT = [(0, b"key", b"the first"), (1, b"key", b"the second"), (2, b"key", b"the third")]


def test_no_flipped_bit_changes_what_is_read() -> None:
    """Whichever it is: what lies before it is read, and the damage is named at its batch."""
    assert read(LOG) == (RIGHT, None)
    for bit in range(8 * len(LOG[1])):
        flipped = bytearray(LOG[1])
        flipped[bit // 8] ^= 1 << bit % 8
        expected = (RIGHT, None) if bit // 8 in EPOCH else (RIGHT[:1], 1)
        assert read([LOG[0], bytes(flipped), LOG[2]]) == expected, f"bit {bit}"


def test_a_batch_that_is_missing_is_damage_where_nothing_is_compacted() -> None:
    """Kafka itself leaves no hole between batches, except in a compacted topic."""
    log = [LOG[0], batch(2, b"the third")]
    assert read(log) == (RIGHT[:1], 1)
    assert read(log, "compacted") == ([RIGHT[0], RIGHT[2]], None)


def test_a_batch_that_cannot_be_read_is_one_record() -> None:
    """At its last offset; the batches around it are read."""
    head, body = LOG[1][:ATTRIBUTES], (7).to_bytes(2, "big") + LOG[1][ATTRIBUTES + 2 :]  # 7 is no codec
    unreadable = head[:-4] + calc_crc32c(body).to_bytes(4, "big") + body
    assert read([LOG[0], unreadable, LOG[2]]) == ([RIGHT[0], (1, None, UNREADABLE), RIGHT[2]], None)


def test_too_many_records_in_a_batch_are_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would all be in memory at once."""
    monkeypatch.setattr(intact, "MAX_RECORDS", 2)
    one = [batch(0, b"1", b"2", b"3")]
    assert read(one)[0] == [(2, None, UNREADABLE)]
    monkeypatch.setattr(intact, "MAX_RECORDS", 3)
    assert [value for _, _, value in read(one)[0]] == [b"1", b"2", b"3"]


@pytest.mark.parametrize("codec", ["gzip", "lz4", "zstd"])
def test_decompression_ends(codec: str) -> None:
    """A megabyte may claim to be many gigabytes."""
    encode = getattr(sys.modules[DefaultRecordBatch.__module__], f"{codec}_encode")
    decode = getattr(sys.modules[DefaultRecordBatch.__module__], f"{codec}_decode")
    most = bytes(codecs.MAX_DECOMPRESSED_BYTES)
    assert decode(encode(most)) == most
    with pytest.raises(Exception, match=r"more than|failed to write whole buffer"):
        decode(encode(most + b"1"))


LARGE = bytes(MAX_EXPANDED_BYTES // 2)
CODEC_NUMBERS = {None: 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


@pytest.mark.parametrize("codec", CODEC_NUMBERS)
def test_what_expands_is_read_and_used_piece_by_piece(codec: str | None) -> None:
    """Else one fetch of 1 MB could fill any memory. aiokafka fetches the rest again, our own reader keeps it."""
    log = [batch(offset, LARGE, codec=CODEC_NUMBERS[codec]) for offset in range(6)]
    pieces, position = list[int](), 0
    while position < len(log):
        buffer = MemoryRecords(b"".join(log[position:]))
        records = fetcher.PartitionRecords(WHERE, buffer, None, position, None, None, True, fetcher.READ_UNCOMMITTED)
        pieces.append(sum(record.value == LARGE for record in records))
        position = records.next_fetch_offset
    checked, batches = Batches(WHERE, MemoryRecords(b"".join(log)), 0), list[Any]()
    while checked.has_next():
        batches.append(checked.next_batch())
    chunks = [len(chunk) for chunk in Fetched(WHERE, 0, batches).chunks(100)]
    assert pieces == chunks == ([2, 2, 2] if codec else [6])
    assert not batches, "an expanded batch stays in memory for as long as somebody has it"


@pytest.fixture
async def topic(servers: Servers, topic_prefix: str) -> AsyncIterator[str]:
    """A topic of one partition."""
    name = f"{topic_prefix}intact"
    admin = AIOKafkaAdminClient(bootstrap_servers=servers.broker)
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1)])
    yield name
    await admin.delete_topics([name])
    await admin.close()


async def send(servers: Servers, topic: str, codec: str | None, **record: Any) -> int:
    """One record as a producer with this codec writes it; its offset."""
    producer = AIOKafkaProducer(bootstrap_servers=servers.broker, compression_type=codec)
    await producer.start()
    try:
        return int((await producer.send_and_wait(topic, partition=0, **record)).offset)
    finally:
        await producer.stop()


async def all_of(consumer: AIOKafkaConsumer, topic: str) -> list[READ]:
    """Everything that a private consumer reads."""
    where = TopicPartition(topic, 0)
    await consumer.start()
    try:
        stream = await Stretch.whole(consumer, where)
        got: list[READ] = []
        while some := await stream.read():
            got += [(record.offset, record.key, record.value) for record in some]
        return got
    finally:
        await consumer.stop()


def with_a_tail(body: bytes) -> bytes:
    return gzip.compress(bytes(body)) + b"tail"


def with_a_name_in_latin_1(body: bytes) -> bytes:
    return gzip.compress(bytes(body).replace(b"cafe", b"caf\xe9"))


SPOILERS = (with_a_tail, with_a_name_in_latin_1)
"""Instead of aiokafka's gzip: what Kafka accepts of a record with the header `cafe`, and aiokafka does not read."""


async def test_what_kafka_takes_is_read(servers: Servers, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every codec; and two batches that Kafka accepts and aiokafka does not: gzip with a tail, a header in Latin-1."""
    wanted: list[READ] = []
    for codec in (None, *CODECS):
        offset = await send(servers, topic, codec, key=b"k", value=b"v" * 1_000, headers=[("a", b"1"), ("", b"")])
        wanted.append((offset, b"k", b"v" * 1_000))
    for spoil in SPOILERS:
        monkeypatch.setattr(sys.modules[DefaultRecordBatch.__module__], "gzip_encode", spoil)
        wanted.append((await send(servers, topic, "gzip", value=b"v", headers=[("cafe", b"")]), None, UNREADABLE))
    wanted.append((await send(servers, topic, None, key=b"k", value=None), b"k", None))

    assert await all_of(new_reader(servers.broker), topic) == wanted


async def test_a_flipped_bit_on_the_disk_is_named_with_its_place(servers: Servers, topic: str) -> None:
    """Whoever reads: the same sentence; nothing behind it is read."""
    for value in (b"first", b"second", b"third"):
        await send(servers, topic, None, value=value)
    flip_a_bit(servers.folder, f"{topic}-0", b"second")
    with pytest.raises(DamagedLog, match=rf"^{topic}\[0\] is damaged at offset 1: "):
        await all_of(new_reader(servers.broker), topic)


def flip_a_bit(folder: Path, partition: str, where: bytes) -> None:
    """In the segment of a partition that has these bytes."""
    (segment,) = (folder / "kafka" / "data" / partition).glob("*.log")
    content = segment.read_bytes()
    assert content.count(where) == 1
    with segment.open("r+b") as file:
        file.seek(content.index(where))
        file.write(bytes([where[0] ^ 1]))
