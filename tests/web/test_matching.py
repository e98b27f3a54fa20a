"""A market that nobody matches is told apart from a quiet one, by the ends of the logs and not by a clock."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from app.local.venue import Venue
from app.models.commands import Genesis, encode_command
from app.topics import ORDERS
from tests.until import until
from tests.web.conftest import Api
from web.market import matching
from web.market.matching import Matching

PARTITIONS = 8
NUMBER = 7


@pytest.fixture
async def answered(venue: Venue) -> list[int]:
    """The ends of `orders` now: everything there is has its report."""
    consumer = AIOKafkaConsumer(bootstrap_servers=venue.servers.broker, enable_auto_commit=False)
    await consumer.start()
    ends = await consumer.end_offsets([TopicPartition(ORDERS.name, number) for number in range(PARTITIONS)])
    await consumer.stop()
    return [ends[TopicPartition(ORDERS.name, number)] for number in range(PARTITIONS)]


@pytest.fixture
async def watched(venue: Venue, answered: list[int], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Matching]:
    """Looks at the venue's `orders` often, and believes that what lies below `answered` is reported."""
    monkeypatch.setattr(matching, "LOOK_S", 0.01)
    found = Matching(venue.servers.broker, PARTITIONS, answered, lambda: True)
    running = asyncio.create_task(found.run())
    yield found
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def looks(watched: Matching, count: int) -> None:
    """Return when it has looked so often at an idle venue."""
    before = watched._idle_looks
    await until(lambda: watched._idle_looks >= before + count)


async def write(venue: Venue, value: bytes, transaction: str | None = None) -> int:
    """One record in partition NUMBER, in a transaction if it has a name; its offset."""
    producer = AIOKafkaProducer(bootstrap_servers=venue.servers.broker, transactional_id=transaction)
    await producer.start()
    if transaction:
        await producer.begin_transaction()
    sent = await producer.send_and_wait(ORDERS.name, value, partition=NUMBER)
    if transaction:
        await producer.commit_transaction()
    await producer.stop()
    return int(sent.offset)


async def test_a_gateway_says_that_matching_works(api: Api) -> None:
    """In /readyz, of a venue that works."""
    ready = await api("GET", "/../../readyz")
    assert (ready.status, ready.body["matching"]) == (200, "ok")


async def test_commands_that_nobody_reports_are_told(venue: Venue, answered: list[int], watched: Matching) -> None:
    """With the offset of the first; once they are reported all is well again."""
    await looks(watched, matching.PATIENCE_LOOKS)
    assert not watched.waiting and not watched.is_dead

    offset = await write(venue, b"a record that is no command, and gets a report all the same")
    await until(lambda: watched.waiting)
    assert watched.waiting == {NUMBER: f"orders[{NUMBER}] has a command at {offset}, and no report for 0.2 s"}
    assert watched.is_dead

    answered[NUMBER] = offset + 1
    await until(lambda: not watched.waiting)
    assert not watched.is_dead


async def test_one_partition_that_stands_still_is_not_the_whole_market(
    venue: Venue, answered: list[int], watched: Matching
) -> None:
    """While others are reported order entry goes on."""
    await write(venue, b"a record that nobody reports")
    await until(lambda: watched.is_dead)
    answered[0] += 1
    await until(lambda: not watched.is_dead)
    assert set(watched.waiting) == {NUMBER}


async def test_what_gets_no_report_is_nothing_to_wait_for(venue: Venue, answered: list[int], watched: Matching) -> None:
    """The end of a transaction, and another genesis record."""
    answered[NUMBER] = 1 + await write(venue, b"a record in a transaction", transaction=f"matching-{id(watched)}")
    await write(venue, encode_command(Genesis(log_id="00000000-0000-4000-8000-000000000002")))
    await looks(watched, 3 * matching.PATIENCE_LOOKS)
    assert not watched.waiting
