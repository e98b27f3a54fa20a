"""The sender on a real Kafka: order, partial failure, lost answers, no leader, a killed broker, sequence numbers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.protocol.produce import ProduceRequest_v7, ProduceResponse_v7

from app.kafka.produce_request import MAX_SEQUENCE, Produce, Result, batch_of
from app.kafka.sender import Line, Sender
from app.local.ports import Ports
from app.local.servers import Servers

TIMEOUT_S = 60.0
PARTITIONS = 3
MAX_BATCH_BYTES = 100_000


class Record(NamedTuple):
    """What the tests send."""

    key: bytes
    value: bytes | None


class Sent:
    """A sender, its lines, and what became of what was given to it."""

    def __init__(self, broker: str, topics: list[str]) -> None:
        self.broker, self.topics = broker, topics
        self.failures: list[BaseException] = []
        self.requests: list[str] = []
        self.offsets: dict[tuple[str, int], list[int]] = {}
        self.appended: dict[tuple[str, int], list[bytes]] = {}
        self.sender: Sender[Record] = Sender(
            broker, topics, self.failures.append, MAX_BATCH_BYTES, sent=self.requests.append
        )
        self.lines = {(topic, number): self._line(topic, number) for topic in topics for number in range(PARTITIONS)}

    def _line(self, topic: str, number: int) -> Line[Record]:
        where = topic, number
        self.offsets[where], self.appended[where] = [], []

        def delivered(records: list[Record], first: int) -> None:
            self.offsets[where] += range(first, first + len(records))

        return Line(topic, number, delivered)

    def append(self, topic: str, number: int, value: bytes) -> None:
        self.appended[topic, number].append(value)
        self.sender.append(self.lines[topic, number], Record(b"key", value))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while not condition():  # noqa: ASYNC110 - nobody tells us
                await asyncio.sleep(0.01)

    def has_all(self) -> bool:
        return all(len(self.offsets[where]) == len(values) for where, values in self.appended.items())

    async def require_each_once_and_in_order(self) -> None:
        """Wait for all acknowledgements, and compare with what Kafka has."""
        await self.until(self.has_all)
        assert not self.failures
        assert self.sender.unacknowledged == 0
        assert await found(self.broker, list(self.lines)) == self.appended


async def found(broker: str, where: list[tuple[str, int]]) -> dict[tuple[str, int], list[bytes]]:
    """Everything in these partitions."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, enable_auto_commit=False)
    await consumer.start()
    try:
        every = [TopicPartition(*each) for each in where]
        ends = await consumer.end_offsets(every)
        consumer.assign(every)
        values: dict[tuple[str, int], list[bytes]] = {each: [] for each in where}
        for tp in every:
            consumer.seek(tp, 0)
            while len(values[tp.topic, tp.partition]) < ends[tp]:
                records = (await consumer.getmany(tp, timeout_ms=1_000)).get(tp, [])
                values[tp.topic, tp.partition] += [record.value for record in records]
        return values
    finally:
        await consumer.stop()


@asynccontextmanager
async def administration(broker: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """A connected administrator."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def create(broker: str, *topics: str) -> None:
    """Make topics."""
    async with administration(broker) as admin:
        await admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in topics])


@pytest.fixture
async def sent(servers: Servers, topic_prefix: str) -> AsyncIterator[Sent]:
    """A sender for two topics."""
    topics = [f"{topic_prefix}a", f"{topic_prefix}b"]
    await create(servers.broker, *topics)
    sent = Sent(servers.broker, topics)
    await sent.sender.start()
    yield sent
    await sent.sender.close()


async def test_each_partition_keeps_the_order_in_which_records_were_appended(sent: Sent) -> None:
    """More than a batch holds, over all partitions of two topics, in turns of every size."""
    random = Random(1)
    for count in range(3_000):
        sent.append(random.choice(sent.topics), random.randrange(PARTITIONS), b"%d" % count + b"." * 300)
        if random.random() < 0.02:
            await asyncio.sleep(0)
    await sent.require_each_once_and_in_order()
    for where, offsets in sent.offsets.items():
        assert offsets == list(range(len(sent.appended[where]))), "the offsets are those of the records"


async def test_what_is_appended_in_one_turn_shares_a_request(sent: Sent) -> None:
    """A wake-up of Kafka and of ours costs more than the records."""
    for where in sent.lines:
        sent.append(*where, b"first")
    await sent.until(sent.has_all)  # new topics may need some attempts until all have their leaders
    sent.requests.clear()
    for where in sent.lines:
        sent.append(*where, b"second")
    await sent.require_each_once_and_in_order()
    assert sorted(sent.requests) == sent.topics, "one request, in which each topic is once"


async def test_a_partition_that_fails_is_sent_again_and_holds_up_no_other(sent: Sent) -> None:
    """One topic is away until somebody makes it again: Kafka takes a part of each request, and the rest in the end."""
    good, bad = sent.topics
    async with administration(sent.broker) as admin:
        await admin.delete_topics([bad])
        async with asyncio.timeout(TIMEOUT_S):
            while bad in await admin.list_topics():  # noqa: ASYNC110 - nobody tells us
                await asyncio.sleep(0.01)
    for count in range(50):
        for topic in (good, bad):
            sent.append(topic, count % PARTITIONS, b"%d" % count)
        await asyncio.sleep(0.001)
    await sent.until(lambda: sum(len(sent.offsets[good, number]) for number in range(PARTITIONS)) == 50)
    assert sent.requests[:2] == sent.topics, "one request for both"
    assert not any(sent.offsets[bad, number] for number in range(PARTITIONS))
    await create(sent.broker, bad)
    await sent.require_each_once_and_in_order()


async def test_lost_answers_make_no_record_twice(sent: Sent) -> None:
    """Connections break at any moment: Kafka may have the batch, or not, and nobody is told."""
    random, count = Random(2), 0
    for _ in range(25):
        for _ in range(random.randrange(40)):
            sent.append(random.choice(sent.topics), random.randrange(PARTITIONS), b"%d" % count)
            count += 1
        await asyncio.sleep(random.random() * 0.004)
        sent.sender.brokers.close()
        if random.random() < 0.5:
            await sent.until(sent.has_all)
    await sent.require_each_once_and_in_order()


async def test_a_partition_without_a_leader_is_sent_when_it_has_one(servers: Servers, topic_prefix: str) -> None:
    """Here the topic is not there yet; the other one does not wait for it."""
    early, late = f"{topic_prefix}early", f"{topic_prefix}late"
    await create(servers.broker, early)
    sent = Sent(servers.broker, [early, late])
    await sent.sender.start()
    try:
        for number in range(PARTITIONS):
            sent.append(late, number, b"late")
            sent.append(early, number, b"early")
        await sent.until(lambda: all(sent.offsets[early, number] for number in range(PARTITIONS)))
        assert not any(sent.offsets[late, number] for number in range(PARTITIONS))
        await create(servers.broker, late)
        await sent.require_each_once_and_in_order()
    finally:
        await sent.sender.close()


async def test_a_broker_that_is_killed_takes_every_record_once(tmp_path: Path) -> None:
    """Records are appended all the time, before, while and after it is away."""
    servers = Servers(tmp_path, Ports(tmp_path, usual=False))
    kafka = next(server for server in servers.each() if server.name == "kafka")
    await servers.start_one(kafka)
    try:
        await create(servers.broker, "a", "b")
        sent = Sent(servers.broker, ["a", "b"])
        await sent.sender.start()
        appending = asyncio.create_task(_append_for_ever(sent))
        await sent.until(lambda: len(sent.offsets["a", 0]) > 20)
        await servers.processes["kafka"].kill()
        await servers.start_one(kafka)
        now = len(sent.appended["a", 0])
        await sent.until(lambda: len(sent.offsets["a", 0]) > now)
        appending.cancel()
        await sent.require_each_once_and_in_order()
        await sent.sender.close()
    finally:
        await servers.stop()


async def _append_for_ever(sent: Sent) -> None:
    count = 0
    while True:
        for topic in sent.topics:
            sent.append(topic, count % PARTITIONS, b"%d" % count)
        count += 1
        await asyncio.sleep(0.002)


async def test_records_that_kafka_never_takes_are_a_failure(sent: Sent) -> None:
    """Whoever made the sender ends the process: what follows such a record could not be sent in order."""
    sent.append(sent.topics[0], 0, b"." * 2_000_000)
    await sent.until(lambda: bool(sent.failures))
    (error,) = sent.failures
    assert isinstance(error, MessageSizeTooLargeError)
    assert f"{sent.topics[0]}[0]" in str(error)


async def test_sequence_numbers_begin_again_after_the_largest(sent: Sent) -> None:
    """Kafka accepts any number of a producer that it has not met, and then each next one only."""
    for line in sent.lines.values():
        line._sequence = MAX_SEQUENCE - 5
    for count in range(20):
        for where in sent.lines:
            sent.append(*where, b"%d" % count)
            if count == 12:
                sent.append(*where, b"another")
        await sent.until(sent.has_all)
    await sent.require_each_once_and_in_order()
    assert {line._sequence for line in sent.lines.values()} == {16}


async def test_records_that_nobody_waits_for_are_left_out(sent: Sent) -> None:
    """A gateway's client has had its 504, or is gone."""
    unwanted = {b"1", b"3"}
    line: Line[Record] = Line(sent.topics[0], 0, lambda records, first: None, lambda r: r.value not in unwanted)
    for count in range(5):
        sent.sender.append(line, Record(b"key", b"%d" % count))
    assert sent.sender.unacknowledged == 5
    await sent.until(lambda: not line.waiting and not line.in_flight)
    assert sent.sender.unacknowledged == 0
    assert (await found(sent.broker, [(sent.topics[0], 0)]))[sent.topics[0], 0] == [b"0", b"2", b"4"]


async def test_no_kafka_is_an_error_at_the_start() -> None:
    """The supervisor tries again."""
    sender: Sender[Record] = Sender("127.0.0.1:1", ["a"], lambda error: None, MAX_BATCH_BYTES)
    with pytest.raises(KafkaError):
        await sender.start()
    await sender.close()


def test_requests_and_answers_are_those_of_aiokafka() -> None:
    """Byte for byte, for several topics and partitions."""
    batch, count = batch_of([(b"key", b"value"), (b"key", None)], (7, 1), 5, 1_000)
    assert count == 2
    batches = {"a": {0: batch, 3: b"x"}, "topic-b": {1: batch}}
    theirs = ProduceRequest_v7(None, -1, 1_234, [(topic, list(each.items())) for topic, each in batches.items()])
    ours = Produce(batches, 1_234)
    assert ours.encode() == theirs.encode()
    answer = ProduceResponse_v7([("a", [(0, 0, 41, -1, 0), (3, 6, -1, -1, -1)]), ("topic-b", [(1, 46, -1, -1, -1)])], 0)
    assert ours.decode(memoryview(answer.encode())) == {
        ("a", 0): Result(0, 41),
        ("a", 3): Result(6, -1),
        ("topic-b", 1): Result(46, -1),
    }
