"""What we changed in Faust's consumer, beside what the tests of whole venues see."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.types import TP
from yarl import URL

from app import app
from app.local.servers import Servers
from app.streaming.consumer import BatchConsumer
from app.topics import BOOKS_CHANGELOG, ORDERS

HOUR_S = 3_600.0


@pytest.fixture
async def consumer(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[BatchConsumer]:
    """A worker's consumer, connected."""
    monkeypatch.setattr(app.transport, "url", [URL(f"kafka://{servers.broker}")])
    consumer = app._new_consumer()
    consumer._thread._consumer = worker = consumer._thread._create_consumer(consumer.loop)
    await worker.start()
    yield consumer
    await worker.stop()


def under(consumer: BatchConsumer) -> AIOKafkaConsumer:
    """aiokafka's consumer below it."""
    return consumer._thread._consumer


async def test_the_member_of_the_group_fetches_nothing(consumer: BatchConsumer) -> None:
    """What is read comes from our own requests: records would be fetched twice, and kept for nobody."""
    assigned = [TopicPartition(ORDERS.name, 0), TopicPartition(BOOKS_CHANGELOG.name, 0)]
    under(consumer).unsubscribe()
    under(consumer).assign(assigned)
    rebalanced = asyncio.get_running_loop().create_future()
    consumer._thread.on_partitions_assigned = lambda tps, generation: rebalanced.set_result(tps) or asyncio.sleep(0)
    await consumer._thread._rebalance_listener.on_partitions_assigned(assigned)
    assert under(consumer).paused() == set(assigned) == set(await rebalanced)


async def test_a_member_that_fetches_nothing_stays_in_its_group(consumer: BatchConsumer) -> None:
    """aiokafka would leave after some minutes (max_poll_interval_ms) without a fetch of its own."""
    under(consumer)._subscription._last_fetch_ended = time.monotonic() - HOUR_S
    assert under(consumer)._subscription.fetcher_idle_time == 0


async def test_an_hour_without_a_command_is_no_alarm(
    consumer: BatchConsumer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is the changelog, which Faust has assigned and we read by ourselves."""
    monkeypatch.setattr(app.topics, "acks_enabled_for", lambda topic: True)  # as in a worker
    assigned = [TopicPartition(ORDERS.name, 0), TopicPartition(BOOKS_CHANGELOG.name, 0)]
    under(consumer).unsubscribe()
    under(consumer).assign(assigned)
    consumer._thread.time_started = time.monotonic() - HOUR_S
    for where in assigned:
        # As after a fetch: records lie before it that nobody has asked for.
        state = under(consumer)._subscription.subscription.assignment.state_value(where)
        state.timestamp, state.highwater = 1_000 * time.monotonic(), 10
        state.seek(0)
    with caplog.at_level(logging.WARNING):
        await consumer.verify_all_partitions_active()
    assert not [record.name for record in caplog.records if not record.name.startswith("aiokafka.")]
    assert under(consumer).assignment() == {TP(*where) for where in assigned}
