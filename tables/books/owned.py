"""A partition that this worker owns: load its books, apply commands to them, and checkpoint them."""

import asyncio
import logging
import time
from collections.abc import Iterator

from app.engine import Output, Partition
from app.models.commands import Genesis
from app.streaming.batches import Batch
from app.streaming.failpoints import reach
from app.streaming.failstop import end_process, fail_stop
from app.streaming.outbox import Outbox
from tables.books.store import show
from tables.books.subjects import Subjects, codec
from tables.recovery.changelog import Damaged
from tables.recovery.checkpoint import Checkpoint
from tables.recovery.completeness import require_complete
from tables.recovery.loader import load
from tables.recovery.ports import KafkaLogs, PartitionPorts
from tables.recovery.refusals import CannotGoOn, require_engine

DUE_CHECK_S = 0.1

_log = logging.getLogger(__name__)


class _SoleOwner:
    """This process ends when a partition is revoked (app/streaming/consumer.py), so it never outlives its ownership."""

    def now(self) -> int:
        return 0


class OwnedPartition:
    """Applies records to the engine and notes which events the next checkpoint must cover."""

    def __init__(self, partition: Partition, checkpoint: Checkpoint, ports: PartitionPorts) -> None:
        self.partition, self.checkpoint, self._ports = partition, checkpoint, ports
        self._running = asyncio.Lock()
        self._task = asyncio.create_task(fail_stop(self._checkpoint_when_due)())

    @classmethod
    async def load(
        cls, number: int, partitions: int, logs: KafkaLogs, outbox: Outbox, genesis: Genesis
    ) -> "OwnedPartition":
        """Load books and position from the changelog; end the process if durable state is damaged or foreign."""
        log_id = genesis.log_id
        try:
            partition = Partition(number, partitions, genesis)
            loaded = await load(logs, codec(log_id), log_id)
            await require_complete(logs, number, partitions, loaded)
            require_engine(loaded.states.values())
        except Damaged as damage:
            end_process(f"state damaged, run `faust -A app rebuild`: {damage}")
        except CannotGoOn as reason:
            end_process(str(reason))
        logs.pass_over(loaded.unusable)
        subjects = Subjects(partition, log_id)
        subjects.restore(loaded)
        ports = PartitionPorts(number, outbox, logs, show)
        show(number, list(loaded.records.items()))
        loaded = loaded._replace(states={}, blocks={}, records={})  # the books hold them now
        checkpoint = Checkpoint(subjects, loaded, ports, _SoleOwner(), log_id, loaded.floor, reach)
        logs.close()
        reach("loaded")
        _log.info("orders/%d: %d snapshots loaded, reading on at %d", number, len(loaded.named), loaded.floor)
        return cls(partition, checkpoint, ports)

    @property
    def position(self) -> int:
        """The offset to read next."""
        return self.checkpoint.position

    @property
    def checkpoint_age_s(self) -> float:
        """How long ago the oldest event without a snapshot was applied."""
        since_ms = self.checkpoint.uncovered_since_ms
        return 0.0 if since_ms is None else time.monotonic() - since_ms / 1_000

    def apply(self, batch: Batch) -> Iterator[Output]:
        """Yield the output of each record; a record that a snapshot already covers has no output."""
        now_ms = time.monotonic_ns() // 1_000_000
        checkpoint, partition = self.checkpoint, self.partition
        for record in batch.records:
            output = partition.apply(record.offset, record.timestamp, record.key, record.value)
            checkpoint.position = record.offset + 1
            if output is not None:
                checkpoint.note(output.instrument, record.offset, now_ms)
                yield output
        self._ports.hold(batch)

    async def stop(self) -> None:
        """Write a final checkpoint of everything, so that the next start replays nothing."""
        reach("graceful-stop")
        async with self._running:  # a checkpoint that is cut off would leave its events marked as covered
            self._task.cancel()
            if dirty := self.checkpoint.dirty():
                await self.checkpoint.run(dirty)

    async def _checkpoint_when_due(self) -> None:
        # An idle partition never wakes the agent, so checkpoints have a task of their own.
        while True:
            await asyncio.sleep(DUE_CHECK_S)
            due = self.checkpoint.due(time.monotonic_ns() // 1_000_000)
            if due:
                async with self._running:
                    await self.checkpoint.run(due)
