"""What a worker owns of a partition of any table: its checkpoints, in a task of their own, and its position."""

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from app.kafka.genesis import WrongTopic
from app.streaming.failpoints import reach
from app.streaming.failstop import end_process, fail_stop
from tables.recovery.changelog import Damaged, Loaded
from tables.recovery.checkpoint import Checkpoint, Subject
from tables.recovery.ports import KafkaLogs, PartitionPorts
from tables.recovery.refusals import CannotGoOn

_log = logging.getLogger(__name__)

DUE_CHECK_S = 0.5  # at 0.1, the checks took a third of the CPU of an idle worker


@contextmanager
def ending_what_cannot_begin(rebuild: str) -> Iterator[None]:
    """End the process if durable state is damaged (`rebuild` is the command that repairs it), foreign or incomplete."""
    try:
        yield
    except Damaged as damage:
        end_process(f"state damaged, run `faust -A app {rebuild}`: {damage}")
    except (WrongTopic, *CannotGoOn) as reason:
        end_process(str(reason))


class SoleOwner:
    """This process ends when a partition is revoked (app/streaming/consumer.py), so it never outlives its ownership."""

    def now(self) -> int:
        return 0


class Progress:
    """Notes which events the next checkpoint must cover, and writes the checkpoints that are due."""

    @classmethod
    def after(
        cls, subjects: Mapping[str, Subject], loaded: Loaded, ports: PartitionPorts, logs: KafkaLogs, log_id: str
    ) -> "Progress":
        """The progress of subjects that were restored from this state."""
        loaded = loaded._replace(states={}, blocks={}, records={})  # the subjects and RocksDB hold them now
        checkpoint = Checkpoint(subjects, loaded, ports, SoleOwner(), log_id, loaded.floor, reach)
        logs.close()
        reach("loaded")
        where = logs.around.source, logs.partition
        _log.info("%s/%d: %d snapshots loaded, reading on at %d", *where, len(loaded.named), loaded.floor)
        return cls(checkpoint, ports)

    def __init__(self, checkpoint: Checkpoint, ports: PartitionPorts) -> None:
        self._checkpoint, self._ports = checkpoint, ports
        self._running = asyncio.Lock()
        self._task = asyncio.create_task(fail_stop(self._checkpoint_when_due)())

    @property
    def position(self) -> int:
        """The offset to read next."""
        return self._checkpoint.position

    @property
    def checkpoint_age_s(self) -> float:
        """How long ago the oldest event without a snapshot was applied."""
        since_ms = self._checkpoint.uncovered_since_ms
        return 0.0 if since_ms is None else time.monotonic() - since_ms / 1_000

    def passed(self, offset: int) -> None:
        """The event at this offset is done with."""
        self._checkpoint.position = offset + 1

    def note(self, name: str, offset: int, now_ms: int) -> None:
        """An event of this subject has been applied."""
        self._checkpoint.note(name, offset, now_ms)

    def hold(self, batch: Any) -> None:
        """Keep a batch unacknowledged until a checkpoint covers it."""
        self._ports.hold(batch)

    async def stop(self) -> None:
        """Write a final checkpoint of everything, so that the next start replays nothing."""
        reach("graceful-stop")
        async with self._running:  # a checkpoint that is cut off would leave its events marked as covered
            self._task.cancel()
            if dirty := self._checkpoint.dirty():
                await self._checkpoint.run(dirty)

    async def _checkpoint_when_due(self) -> None:
        # An idle partition never wakes the agent, so checkpoints have a task of their own.
        while True:
            await asyncio.sleep(DUE_CHECK_S)
            due = self._checkpoint.due(monotonic_ms())
            if due:
                async with self._running:
                    await self._checkpoint.run(due)


def monotonic_ms() -> int:
    """The clock by which checkpoints are due."""
    return time.monotonic_ns() // 1_000_000
