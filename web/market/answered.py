"""Makes sure that the engine has answered every command in the log before the gateway answers 404 for an order.

Until then, the order may be in the log and waiting for the engine.
"""

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition

from app.kafka.reading import KafkaAway, PatientReader, Stretch
from app.topics import ORDERS
from web.market.feed import Feed
from web.refused import RETRY_SOON_S, Refused

PATIENCE_S = 2.0  # as long as a cancel waits for the engine
KAFKA_TIMEOUT_S = 2.0
POLL_S = 0.02


class Commands:
    """Reads the end offsets of the `orders` topic."""

    def __init__(self, broker: str, partitions: int) -> None:
        self._reader = PatientReader(broker, KAFKA_TIMEOUT_S)
        self._topic_partitions = [TopicPartition(ORDERS.name, partition_id) for partition_id in range(partitions)]

    async def close(self) -> None:
        """Disconnect."""
        await self._reader.close()

    async def require_answered(self, feed: Feed) -> None:
        """Wait until the feed has the report of every command that is in the log now; raises Refused."""
        try:
            async with self._reader.turn() as reader:
                ends = await reader.end_offsets(self._topic_partitions)
            if not await _wait_until_answered(feed, ends):
                async with self._reader.turn() as reader:
                    await _skip_holes(reader, feed, ends)
        except KafkaAway as error:
            raise Refused("not_ready", "Kafka does not answer at present", RETRY_SOON_S) from error
        if _behind(feed, ends):
            sentence = "the engine has not answered every command yet, and this order may be among them"
            raise Refused("matching_behind", sentence, RETRY_SOON_S)


async def _skip_holes(reader: AIOKafkaConsumer, feed: Feed, ends: dict[TopicPartition, int]) -> None:
    """Count the rest of a partition as answered if it has no records: the end of a transaction takes an offset."""
    for tp in _behind(feed, ends):
        if not await Stretch(reader, tp, feed.answered[tp.partition], ends[tp]).read():
            feed.answered[tp.partition] = max(feed.answered[tp.partition], ends[tp])


async def _wait_until_answered(feed: Feed, ends: dict[TopicPartition, int]) -> bool:
    """Wait up to PATIENCE_S for the feed to reach these offsets; return whether it did."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + PATIENCE_S
    while _behind(feed, ends):
        if loop.time() > give_up:
            return False
        await asyncio.sleep(POLL_S)
    return True


def _behind(feed: Feed, ends: dict[TopicPartition, int]) -> list[TopicPartition]:
    return [tp for tp, end in ends.items() if feed.answered[tp.partition] < end]
