"""Whether the engine has answered every command in the log: an order that it has not seen yet is not absent."""

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from app.topics import ORDERS
from web.market.feed import Feed
from web.refused import RETRY_SOON_S, Refused

PATIENCE_S = 2.0  # as long as a cancel waits for the engine
KAFKA_TIMEOUT_S = 2.0
POLL_S = 0.02
READ_TIMEOUT_MS = 100
FETCH_MAX_WAIT_MS = 20


class Commands:
    """The `orders` topic as a gateway asks for its ends; it connects when somebody asks for the first time."""

    def __init__(self, broker: str, partitions: int) -> None:
        self._broker = broker
        self._topic_partitions = [TopicPartition(ORDERS.name, number) for number in range(partitions)]
        self._consumer: AIOKafkaConsumer | None = None
        self._turn = asyncio.Lock()

    async def close(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def require_answered(self, feed: Feed) -> None:
        """Return once the feed has the report of every command that is in the log now; raises Refused."""
        try:
            async with asyncio.timeout(KAFKA_TIMEOUT_S), self._turn:
                ends = await (await self._connected()).end_offsets(self._topic_partitions)
            if not await _answered(feed, ends):
                async with asyncio.timeout(KAFKA_TIMEOUT_S), self._turn:
                    await self._skip_holes(feed, ends)
        except (KafkaError, TimeoutError, OSError) as error:
            raise Refused("not_ready", "Kafka does not answer at present", RETRY_SOON_S) from error
        if _behind(feed, ends):
            sentence = "the engine has not answered every command yet, and this order may be among them"
            raise Refused("matching_behind", sentence, RETRY_SOON_S)

    async def _skip_holes(self, feed: Feed, ends: dict[TopicPartition, int]) -> None:
        """A transaction leaves an offset without a record, for which no report will come."""
        consumer = await self._connected()
        try:
            for tp in _behind(feed, ends):
                consumer.assign([tp])
                consumer.seek(tp, feed.answered[tp.partition])
                while await consumer.position(tp) < ends[tp]:
                    if (await consumer.getmany(tp, timeout_ms=READ_TIMEOUT_MS)).get(tp):
                        break
                else:
                    feed.answered[tp.partition] = max(feed.answered[tp.partition], ends[tp])
        finally:
            consumer.unsubscribe()

    async def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._broker,
                enable_auto_commit=False,
                auto_offset_reset="none",
                fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
            )
            try:
                await consumer.start()
            except BaseException:
                await consumer.stop()
                raise
            self._consumer = consumer
        return self._consumer


async def _answered(feed: Feed, ends: dict[TopicPartition, int]) -> bool:
    """Whether it has all of them, perhaps after some time."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + PATIENCE_S
    while _behind(feed, ends):
        if loop.time() > give_up:
            return False
        await asyncio.sleep(POLL_S)
    return True


def _behind(feed: Feed, ends: dict[TopicPartition, int]) -> list[TopicPartition]:
    return [tp for tp, end in ends.items() if feed.answered[tp.partition] < end]
