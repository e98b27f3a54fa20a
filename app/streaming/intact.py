"""What Kafka gives, checked below every decoder: a damaged log stops its reader, an unreadable batch is one record.

Damage is a copy of the log that is not what was written: a wrong checksum, another format, a batch out of its place.
Records behind it may be gone, so no reader goes on (DamagedLog). A batch that is whole but cannot be decompressed or
parsed is the same for every reader: each sees one record, UNREADABLE, at the batch's last offset, which no decoder of
ours accepts. For aiokafka both are exceptions that name no offset, and after which it passes over what it had read.

All of this replaces one class of aiokafka in its fetcher: there is no extension point.
"""

from collections.abc import Collection, Iterator
from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.errors import KafkaError, RecordTooLargeError
from aiokafka.record.default_records import DefaultRecord

from app.streaming.codecs import bound_decompression
from app.unusable import pass_over

MAGIC = 2  # the format of every batch that Kafka has written since 0.11
MAX_RECORDS = 500_000  # in one batch: they are in memory at once
UNREADABLE = b"unreadable: this batch of Kafka's log cannot be decompressed or parsed"


class DamagedLog(KafkaError):
    """This copy of a log is not what was written; the message says where and what to do."""

    def __init__(self, where: Any, offset: int) -> None:
        super().__init__(
            f"{where.topic}[{where.partition}] is damaged at offset {offset}: Kafka's copy is not what was written; "
            "stop the broker and remove its folder of this partition so that it copies another replica's, "
            "or restore Kafka's data from a copy"
        )
        self.topic, self.partition, self.offset = where.topic, where.partition, offset

    def __str__(self) -> str:
        return str(self.args[0])


def read_intact(dense: Collection[str]) -> None:
    """Let every consumer of this process read like this. `dense` are the topics from which Kafka compacts nothing."""
    bound_decompression()
    _dense.update(dense)
    fetcher.PartitionRecords = _PartitionRecords
    fetcher.Fetcher._set_error = _set_error


_dense: set[str] = set()
_aiokafkas_set_error = fetcher.Fetcher._set_error


def _set_error(self: fetcher.Fetcher, where: TopicPartition, error: Exception) -> None:
    """A batch that is longer than what Kafka has sent: its length is damaged, since Kafka sends the first one whole."""
    if isinstance(error, RecordTooLargeError):
        error = DamagedLog(where, error.args[2])
    _aiokafkas_set_error(self, where, error)


class _PartitionRecords(fetcher.PartitionRecords):
    """What one fetch gave of a partition."""

    def __init__(self, where: TopicPartition, records: Any, aborted: Any, position: int, *more: Any) -> None:
        super().__init__(where, Batches(where, records, position), aborted, position, *more)


class Batches:
    """The batches of a fetch up to the first damage, which only a fetch that begins with it raises."""

    def __init__(self, where: TopicPartition, batches: Any, position: int) -> None:
        self._where, self._batches, self._position = where, batches, position
        self._is_first = True
        self._next: Any = None

    @property
    def position(self) -> int:
        """The offset after the batches that were looked at, up to which a reader has everything."""
        return self._position

    def has_next(self) -> bool:
        """Whether there is another batch. Raises DamagedLog."""
        if self._next is None and self._batches.has_next():
            batch = self._intact()
            if batch is None and self._is_first:
                raise DamagedLog(self._where, self._position)
            if batch is not None:
                self._next = batch if batch.is_control_batch else _Batch(self._where, batch)
                self._position, self._is_first = batch.next_offset, False
        return self._next is not None

    def next_batch(self) -> Any:
        """The next batch, checked."""
        found, self._next = self._next, None
        return found

    def _intact(self) -> Any:
        try:
            batch = self._batches.next_batch()
            is_whole = batch.magic == MAGIC and batch.validate_crc()
        except Exception:  # whatever a parser says of bytes that are not a batch
            return None
        return batch if is_whole and self._is_in_place(batch) else None

    def _is_in_place(self, batch: Any) -> bool:
        """Neither offset is covered by the checksum."""
        if batch.next_offset <= self._position:
            return False
        if self._is_first:
            return batch.base_offset <= self._position or self._where.topic not in _dense
        return batch.base_offset == self._position or (
            batch.base_offset > self._position and self._where.topic not in _dense
        )


class _Batch:
    """A batch of records as aiokafka's PartitionRecords uses it."""

    is_control_batch = False

    def __init__(self, where: TopicPartition, batch: Any) -> None:
        self._where, self._batch = where, batch
        self.base_offset, self.next_offset = batch.base_offset, batch.next_offset
        self.producer_id, self.is_transactional = batch.producer_id, batch.is_transactional

    def validate_crc(self) -> bool:
        """It was, before this was made."""
        return True

    def __iter__(self) -> Iterator[DefaultRecord]:
        return iter(self._records())

    def _records(self) -> list[DefaultRecord]:
        batch = self._batch
        count = batch.last_offset_delta + 1
        if count > MAX_RECORDS:
            return [self._unreadable(f"more than {MAX_RECORDS} records in a batch")]
        try:
            return list(batch)
        except MemoryError:
            raise  # another process may have the memory, and would see other records
        except Exception as error:
            return [self._unreadable(repr(error))]

    def _unreadable(self, why: str) -> DefaultRecord:
        batch, last = self._batch, self.next_offset - 1
        pass_over(self._where.topic, self._where.partition, last, why)
        return DefaultRecord(last, batch.max_timestamp, batch.timestamp_type, None, UNREADABLE, [])
