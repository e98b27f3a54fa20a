"""A partition of `orders` that this worker owns: load its books, apply commands to them, and checkpoint them."""

from collections.abc import Iterator

from app.engine import Output, Partition
from app.models.commands import Genesis
from app.streaming.batches import Batch
from app.streaming.outbox import Outbox
from tables.books.refusals import require_engine
from tables.books.store import books
from tables.books.subjects import Subjects, codec
from tables.recovery.completeness import require_complete
from tables.recovery.loader import load
from tables.recovery.owned import Progress, ending_what_cannot_begin, monotonic_ms
from tables.recovery.ports import KafkaLogs, PartitionPorts


class OwnedPartition:
    """Applies records to the engine and notes which events the next checkpoint must cover."""

    def __init__(self, partition: Partition, progress: Progress) -> None:
        self.partition, self.progress = partition, progress

    @classmethod
    async def load(
        cls, number: int, partitions: int, logs: KafkaLogs, outbox: Outbox, genesis: Genesis
    ) -> "OwnedPartition":
        """Load books and position from the changelog; end the process if durable state is damaged or foreign."""
        log_id = genesis.log_id
        with ending_what_cannot_begin("rebuild"):
            partition = Partition(number, partitions, genesis)
            loaded = await load(logs, codec(log_id), log_id)
            await require_complete(logs, number, partitions, loaded)
            require_engine(loaded.states.values())
        logs.pass_over(loaded.unusable)
        subjects = Subjects(partition, log_id)
        subjects.restore(loaded)
        ports = PartitionPorts(number, outbox, logs, books.show)
        books.show(number, list(loaded.records.items()))
        return cls(partition, Progress.after(subjects, loaded, ports, logs, log_id))

    @property
    def position(self) -> int:
        """The offset to read next."""
        return self.progress.position

    def apply(self, batch: Batch) -> Iterator[Output]:
        """Yield the output of each record; a record that a snapshot already covers has no output."""
        now_ms = monotonic_ms()
        progress, partition = self.progress, self.partition
        for record in batch.records:
            output = partition.apply(record.offset, record.timestamp, record.key, record.value)
            progress.passed(record.offset)
            if output is not None:
                progress.note(output.instrument, record.offset, now_ms)
                yield output
        progress.hold(batch)
