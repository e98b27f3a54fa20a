"""Where the partitions of a topic begin and end now, as a fresh client sees it."""

from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition


async def bounds(broker: str, topic: str, partitions: Iterable[int]) -> dict[int, tuple[int, int]]:
    """The first offset of each partition, and the one after its last; raises KafkaError. `broker` is host:port."""
    every = [TopicPartition(topic, number) for number in partitions]
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, enable_auto_commit=False)
    await consumer.start()
    try:
        firsts, ends = await consumer.beginning_offsets(every), await consumer.end_offsets(every)
        return {tp.partition: (firsts[tp], ends[tp]) for tp in every}
    finally:
        await consumer.stop()
