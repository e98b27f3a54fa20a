"""Reading by requests of our own, on a real Kafka: from any offset, all partitions at once, through every failure."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.protocol.fetch import FetchRequest_v11, FetchResponse_v11

from app.kafka.fetch_request import MAX_BYTES, MIN_BYTES, Fetch, Found
from app.local.ports import Ports
from app.local.servers import Servers
from app.streaming import fetching as module
from app.streaming.fetching import Fetching
from tests.kafka.test_sender import PARTITIONS, create

TIMEOUT_S = 60.0


class Log:
    """A topic with known values, and a reader of it."""

    def __init__(self, broker: str, topic: str) -> None:
        self.broker, self.topic = broker, topic
        self.partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        self.written: dict[TopicPartition, list[bytes]] = {where: [] for where in self.partitions}
        self.read: dict[TopicPartition, list[tuple[int, bytes]]] = {where: [] for where in self.partitions}
        self.fetching = Fetching(broker, [topic])
        self.producer = AIOKafkaProducer(bootstrap_servers=broker, enable_idempotence=True)

    async def start(self) -> None:
        await self.producer.start()
        await self.fetching.start()
        for where in self.partitions:
            self.fetching.seek(where, 0)

    async def stop(self) -> None:
        await self.fetching.close()
        await self.producer.stop()

    async def write(self, count: int, size: int = 20) -> None:
        """Records in all partitions, batches of any size."""
        first = sum(map(len, self.written.values()))
        for number in range(first, first + count):
            where, value = self.partitions[number % PARTITIONS], str(number).encode().rjust(size, b".")
            await self.producer.send(*where[:1], value, partition=where.partition)
            self.written[where].append(value)
        await self.producer.flush()

    async def take(self, wanted: list[TopicPartition] | None = None) -> None:
        """One fetch."""
        for fetched in await self.fetching.fetch(wanted or self.partitions):
            self.read[fetched.where] += [
                (record.offset, record.value) for chunk in fetched.chunks(1_000) for record in chunk
            ]

    async def take_all(self, wanted: list[TopicPartition] | None = None) -> None:
        """Fetches until everything written was read."""
        async with asyncio.timeout(TIMEOUT_S):
            while any(len(self.read[where]) < len(self.written[where]) for where in wanted or self.partitions):
                await self.take(wanted)

    def require_each_once_and_in_order(self) -> None:
        assert self.read == {where: list(enumerate(values)) for where, values in self.written.items()}


@pytest.fixture
async def log(servers: Servers, topic_prefix: str) -> AsyncIterator[Log]:
    """An empty topic and its reader."""
    await create(servers.broker, f"{topic_prefix}log")
    log = Log(servers.broker, f"{topic_prefix}log")
    await log.start()
    yield log
    await log.stop()


async def test_every_record_is_read_once_and_in_order(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that takes many answers, and one that grows while it is read."""
    monkeypatch.setattr(module, "MAX_PARTITION_BYTES", 10_000)
    await log.write(2_000, size=100)
    await log.take_all()
    for _ in range(20):
        await log.write(7)
        await log.take_all()
    log.require_each_once_and_in_order()
    assert log.fetching.ends == log.fetching.positions == {where: len(log.written[where]) for where in log.partitions}


async def test_reading_begins_within_a_batch(log: Log) -> None:
    """Kafka gives the whole batch: what lies before the position is left out."""
    await log.write(300)
    for where in log.partitions:
        log.fetching.seek(where, 17)
    async with asyncio.timeout(TIMEOUT_S):
        while any(log.fetching.positions[where] < 100 for where in log.partitions):
            await log.take()
    for where in log.partitions:
        assert log.read[where] == list(enumerate(log.written[where]))[17:]


async def test_what_is_on_its_way_from_before_a_seek_is_dropped(log: Log) -> None:
    """A rebalance seeks while a request waits in Kafka."""
    await log.write(30)
    await log.take_all()
    log.fetching._ask(log.partitions)  # from the end on
    await asyncio.sleep(0.05)
    for where in log.partitions:
        log.fetching.seek(where, 4)
        log.read[where].clear()
    async with asyncio.timeout(TIMEOUT_S):
        while any(log.fetching.positions[where] < 10 for where in log.partitions):
            await log.take()
    for where in log.partitions:
        assert log.read[where] == list(enumerate(log.written[where]))[4:]


async def test_a_partition_that_is_not_wanted_is_not_read_and_read_on_later(log: Log) -> None:
    """Faust pauses partitions, and resumes them."""
    await log.write(30)
    paused, *others = log.partitions
    await log.take_all(others)
    assert not log.read[paused]
    assert log.fetching.positions[paused] == 0
    await log.write(30)
    await log.take_all()
    log.require_each_once_and_in_order()


async def test_an_idle_partition_does_not_keep_a_busy_one_waiting(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request asks for all of them: here Kafka would wait longer than the test for one that asks for the idle."""
    monkeypatch.setattr(module, "MAX_WAIT_MS", int(2 * TIMEOUT_S * 1000))
    busy = log.partitions[0]
    async with asyncio.timeout(TIMEOUT_S):
        for count in range(1, 20):
            await log.producer.send_and_wait(log.topic, b"%d" % count, partition=busy.partition)
            while len(log.read[busy]) < count:
                await log.take()


async def test_the_next_request_is_on_its_way_while_the_last_answer_is_worked_off(log: Log) -> None:
    """Its records are there when somebody asks."""
    await log.write(3)
    await log.take()
    (task,) = log.fetching._in_flight.values()
    await log.write(3)
    async with asyncio.timeout(TIMEOUT_S):
        await asyncio.wait([task])
    await log.take_all()
    log.require_each_once_and_in_order()


async def test_broken_connections_lose_nothing(log: Log) -> None:
    """They break at any moment."""
    random = Random(3)
    for _ in range(20):
        await log.write(random.randrange(30))
        log.fetching._brokers.close()
        if random.random() < 0.7:
            await log.take()
    await log.take_all()
    log.require_each_once_and_in_order()


async def test_a_killed_broker_is_read_on_when_it_is_back(tmp_path: Path) -> None:
    """The reader asks again until somebody answers."""
    servers = Servers(tmp_path, Ports(tmp_path, usual=False))
    kafka = next(server for server in servers.each() if server.name == "kafka")
    await servers.start_one(kafka)
    try:
        await create(servers.broker, "log")
        log = Log(servers.broker, "log")
        await log.start()
        await log.write(100)
        await log.take_all()
        await servers.processes["kafka"].kill()
        await log.take()
        await servers.start_one(kafka)
        await log.write(100)
        await log.take_all()
        log.require_each_once_and_in_order()
        await log.stop()
    finally:
        await servers.stop()


async def test_an_offset_that_is_not_there_is_an_error(log: Log) -> None:
    """The log has lost records, or was made again: nobody may begin somewhere else in silence."""
    await log.write(3)
    where = log.partitions[1]
    log.fetching.seek(where, 1_000)
    with pytest.raises(OffsetOutOfRangeError) as raised:
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                await log.take()
    assert raised.value.args[0] == {where: 1_000}


async def test_a_topic_that_does_not_exist_yet_is_read_when_it_does(servers: Servers, topic_prefix: str) -> None:
    """As when its partitions have no leader for a while."""
    log = Log(servers.broker, f"{topic_prefix}late")
    await log.fetching.start()
    for where in log.partitions:
        log.fetching.seek(where, 0)
    await log.take()
    await create(servers.broker, log.topic)
    await log.producer.start()
    await log.write(30)
    await log.take_all()
    log.require_each_once_and_in_order()
    await log.stop()


async def test_control_records_are_passed_over(servers: Servers, log: Log) -> None:
    """A transaction leaves an offset without a record."""
    stranger = AIOKafkaProducer(bootstrap_servers=servers.broker, transactional_id=f"{log.topic}-stranger")
    await stranger.start()
    for value in (b"first", b"second"):
        async with stranger.transaction():
            await stranger.send_and_wait(log.topic, value, partition=0)
    await stranger.stop()
    async with asyncio.timeout(TIMEOUT_S):
        while log.fetching.positions[log.partitions[0]] < 4:
            await log.take()
    assert log.read[log.partitions[0]] == [(0, b"first"), (2, b"second")]


async def test_no_kafka_is_an_error_at_the_start() -> None:
    """A fresh process asks again."""
    fetching = Fetching("127.0.0.1:1", ["a"])
    with pytest.raises(KafkaError):
        await fetching.start()
    await fetching.close()


def test_requests_and_answers_are_those_of_aiokafka() -> None:
    """Byte for byte, for several topics and partitions."""
    offsets = {"a": {0: 5, 3: 2**40}, "topic-b": {1: 0}}
    topics = [(topic, [(p, -1, offset, -1, 77) for p, offset in each.items()]) for topic, each in offsets.items()]
    theirs = FetchRequest_v11(-1, 500, MIN_BYTES, MAX_BYTES, 0, 0, -1, topics, [], "")
    ours = Fetch(offsets, 500, 77)
    assert ours.encode() == theirs.encode()
    partitions: list[Any] = [(0, 0, 41, 40, 2, [(7, 8), (9, 10)], -1, b"records"), (3, 1, -1, -1, -1, None, -1, None)]
    answer = FetchResponse_v11(0, 0, 0, [("a", partitions), ("topic-b", [(1, 0, 3, 3, 0, [], -1, b"")])])
    decoded, refused = (ours.decode(memoryview(each.encode())) for each in (answer, FetchResponse_v11(0, 71, 0, [])))
    assert (decoded.error_code, refused.error_code) == (0, 71)
    assert decoded.found == {
        ("a", 0): Found(0, 41, b"records"),
        ("a", 3): Found(1, -1, b""),
        ("topic-b", 1): Found(0, 3, b""),
    }


async def test_under_load_a_reader_waits_unless_it_is_behind(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the pause is longer than the test: a backlog of many answers is read without it, and then no more."""
    monkeypatch.setattr(module, "MAX_PARTITION_BYTES", 10_000)
    await log.fetching.close()
    log.fetching = Fetching(log.broker, [log.topic], pace_s=100 * TIMEOUT_S)
    await log.fetching.start()
    for where in log.partitions:
        log.fetching.seek(where, 0)
    await log.write(2_000, size=100)
    await log.take_all()
    log.require_each_once_and_in_order()
    log.fetching._pace.pause_s = 100 * TIMEOUT_S  # it may all have been read before the rate was known
    for _ in range(3):  # a request from before may be on its way
        await log.write(3)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(log.take(), 0.3)
    assert sum(map(len, log.read.values())) < sum(map(len, log.written.values()))
