"""Reading a stretch of a log by ourselves, and sending a few records."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic

from app.kafka.admin import connected_admin
from app.kafka.one_shot import ToSend, send
from app.kafka.reading import Bounds, KafkaAway, LogRecord, PatientReader, Stretch, bounds, connected_reader
from app.local.servers import Servers

NOBODY = "127.0.0.1:1"


@pytest.fixture
async def where(servers: Servers, topic_prefix: str) -> TopicPartition:
    """A partition of a topic of the test's own."""
    name = f"{topic_prefix}log"
    async with connected_admin(servers.broker) as admin:
        await admin.create_topics([NewTopic(name, 1, 1)])
    return TopicPartition(name, 0)


@pytest.fixture
async def reader(servers: Servers) -> AsyncIterator[AIOKafkaConsumer]:
    """A reader of no group."""
    async with connected_reader(servers.broker) as connected:
        yield connected


async def write(servers: Servers, where: TopicPartition, *values: bytes) -> list[int]:
    """The offset of each."""
    return await send(servers.broker, [ToSend(where.topic, where.partition, None, value) for value in values])


async def values(stretch: Stretch) -> list[bytes | None]:
    """All that is left to read."""
    found: list[LogRecord] = []
    while records := await stretch.read():
        found += records
    return [record.value for record in found]


async def test_what_came_after_the_end_is_read_when_the_end_moves(
    servers: Servers, where: TopicPartition, reader: AIOKafkaConsumer
) -> None:
    """Kafka gives both in one answer; the second part is neither read too early nor lost."""
    assert await write(servers, where, b"0", b"1", b"2") == [0, 1, 2]
    stretch = Stretch(reader, where, 0, 1)
    assert await values(stretch) == [b"0"]
    await stretch.extend()
    assert await values(stretch) == [b"1", b"2"]


async def test_offsets_without_a_record_are_passed_over(
    servers: Servers, where: TopicPartition, reader: AIOKafkaConsumer
) -> None:
    """The end of a transaction takes one, here the last one."""
    async with (
        AIOKafkaProducer(bootstrap_servers=servers.broker, transactional_id=where.topic) as producer,
        producer.transaction(),
    ):
        await producer.send_and_wait(where.topic, b"0", partition=0)
    # The marker is written a moment later.
    while (await bounds(servers.broker, where.topic, [0]))[0] != Bounds(0, 2):  # noqa: ASYNC110 - nobody tells us
        await asyncio.sleep(0.01)
    assert await values(await Stretch.whole(reader, where)) == [b"0"]


async def test_a_stretch_begins_at_an_offset_or_at_the_first_record(
    servers: Servers, where: TopicPartition, reader: AIOKafkaConsumer
) -> None:
    """As far as it was asked for; an empty one has nothing."""
    assert await values(await Stretch.whole(reader, where)) == []
    await write(servers, where, b"0", b"1", b"2")
    assert await values(await Stretch.whole(reader, where, 1)) == [b"1", b"2"]


async def test_an_empty_stretch_leaves_the_reader_as_it_was(
    servers: Servers, where: TopicPartition, reader: AIOKafkaConsumer
) -> None:
    """Its partition is never assigned: aiokafka's fetcher dies when an assignment is taken back at once."""
    assert await values(await Stretch.whole(reader, where)) == []
    reader.unsubscribe()
    await write(servers, where, b"0")
    assert await values(await Stretch.whole(reader, where)) == [b"0"]


async def test_a_patient_reader_gives_up_and_lets_the_next_one_try() -> None:
    """Without a broker, and with one user who never ends."""
    absent = PatientReader(NOBODY, timeout_s=0.2)
    for _ in range(2):
        with pytest.raises(KafkaAway):
            async with absent.turn():
                pass
    await absent.close()


async def test_a_patient_reader_keeps_its_connection(servers: Servers, where: TopicPartition) -> None:
    """From the first turn on; a turn that takes too long ends, and the next one reads as if it had not been."""
    await write(servers, where, b"0")
    patient = PatientReader(servers.broker, timeout_s=5.0)
    async with patient.turn() as first:
        assert await values(await Stretch.whole(first, where)) == [b"0"]
    assert not first.assignment()
    with pytest.raises(KafkaAway):
        async with patient.turn():
            raise TimeoutError
    async with patient.turn() as again:
        assert again is first and await values(await Stretch.whole(again, where)) == [b"0"]
    await patient.close()
