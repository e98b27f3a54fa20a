"""Watches whether the engine reports every command that Kafka has acknowledged, and names the partitions that wait.

It compares the end of `orders` with the offset of the last command whose report the feed has seen.
"""

import asyncio
from collections.abc import Callable, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition

from app.kafka.reading import KafkaAway, PatientReader, Stretch
from app.models.commands import Genesis, UndecodableCommand, decode_command
from app.streaming.intact import DamagedLog
from app.topics import ORDERS
from web import metrics

LOOK_S = 1.0
# Another worker takes over after about ten seconds. Looks instead of seconds: a paused gateway does not look.
PATIENCE_LOOKS = 20
ANSWER_TIMEOUT_S = 5.0


class Matching:
    """Finds the partitions of `orders` with commands that the engine should have reported by now."""

    def __init__(self, broker: str, partitions: int, answered: Sequence[int], may_look: Callable[[], bool]) -> None:
        """`answered`: for each partition, the offset below which every command has its report.

        `may_look`: whether `answered` is known yet.
        """
        self._reader = PatientReader(broker, ANSWER_TIMEOUT_S)
        self._orders = [TopicPartition(ORDERS.name, partition_id) for partition_id in range(partitions)]
        self._answered, self._may_look = answered, may_look
        self._done: dict[int, int] = {}
        self._waited: dict[int, int] = {}
        self._idle_looks = 0
        self.waiting: dict[int, str] = {}
        """Partitions without progress for PATIENCE_LOOKS looks, each with a sentence that says why."""

    @property
    def is_dead(self) -> bool:
        """Whether commands wait and the engine has reported nothing meanwhile, in any partition."""
        return bool(self.waiting) and self._idle_looks >= PATIENCE_LOOKS

    async def run(self) -> None:
        """Look every second until cancelled."""
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                if self._may_look():
                    await self._look_or_start_over()
        finally:
            await self._reader.close()

    async def _look_or_start_over(self) -> None:
        try:
            async with self._reader.turn() as reader:
                await self._look(reader)
        except KafkaAway:
            self._waited.clear()  # nothing can match without Kafka; /readyz says that Kafka is away
            self.waiting.clear()
        metrics.matching_waits.set(len(self.waiting))

    async def _look(self, reader: AIOKafkaConsumer) -> None:
        ends = await reader.end_offsets(self._orders)
        before = dict(self._done)
        for where in self._orders:
            await self._look_at(reader, where, ends[where])
        self._idle_looks = self._idle_looks + 1 if self._done == before else 0

    async def _look_at(self, reader: AIOKafkaConsumer, where: TopicPartition, end: int) -> None:
        partition_id = where.partition
        done = max(self._answered[partition_id] - 1, self._done.get(partition_id, 0))  # 0 is the genesis record
        if done != self._done.get(partition_id) or end <= done + 1:
            self._done[partition_id], self._waited[partition_id] = done, 0
            self.waiting.pop(partition_id, None)
            return
        self._waited[partition_id] = self._waited.get(partition_id, 0) + 1
        if self._waited[partition_id] < PATIENCE_LOOKS or partition_id in self.waiting:
            return
        try:
            first = await _first_command(Stretch(reader, where, done + 1, end))
        except DamagedLog as damage:
            self.waiting[partition_id] = str(damage)
            return
        if first is None:
            self._done[partition_id] = end - 1
        else:
            seconds = PATIENCE_LOOKS * LOOK_S
            self.waiting[partition_id] = (
                f"{where.topic}[{partition_id}] has a command at {first}, and no report for {seconds:g} s"
            )


async def _first_command(stretch: Stretch) -> int | None:
    """The offset of the first command; transaction markers and genesis records are not commands and get no report."""
    while records := await stretch.read():
        for record in records:
            if not _is_genesis(record.value):
                return record.offset
    return None


def _is_genesis(value: bytes | None) -> bool:
    try:
        return isinstance(decode_command(value), Genesis)
    except UndecodableCommand:
        return False
