"""Check every batch that Kafka returns: a damaged log stops its reader, an unreadable batch counts as one record.

A log is damaged if Kafka's copy is not what a producer wrote: a wrong checksum, another format, a batch out of place.
Later records may be missing, so the reader stops (DamagedLog). A batch that has a correct checksum but cannot be
decompressed or parsed is unreadable for every reader: each sees one record, UNREADABLE, at the batch's last offset, and
all our decoders reject it. In both cases aiokafka would raise an exception that names no offset, and then skip what it
had read.

aiokafka has no extension point for this, so this module replaces a class and a method of its fetcher.
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
MAX_RECORDS = 500_000  # in one batch, which is in memory as a whole
MAX_EXPANDED_BYTES = 8 * 1024 * 1024
"""Once compressed batches have expanded to so much, what they gave is used before more of a fetch is read.

A fetch of 1 MB can hold hundreds of batches that expand to 64 MB each.
"""
UNREADABLE = b"unreadable: this batch of Kafka's log cannot be decompressed or parsed"


class DamagedLog(KafkaError):
    """Kafka's copy of a log differs from what was written; the message says where and what to do."""

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
    """Make every consumer of this process check its batches. `dense` are the topics that Kafka does not compact."""
    bound_decompression()
    _dense.update(dense)
    fetcher.PartitionRecords = _PartitionRecords
    fetcher.Fetcher._set_error = _set_error


_dense: set[str] = set()
_aiokafkas_set_error = fetcher.Fetcher._set_error


def _set_error(self: fetcher.Fetcher, where: TopicPartition, error: Exception) -> None:
    """Report a batch longer than Kafka's answer as damaged: Kafka always sends the first batch whole."""
    if isinstance(error, RecordTooLargeError):
        error = DamagedLog(where, error.args[2])
    _aiokafkas_set_error(self, where, error)


class _PartitionRecords(fetcher.PartitionRecords):
    """aiokafka's records of one fetch of a partition, with checked batches."""

    def __init__(self, where: TopicPartition, records: Any, aborted: Any, position: int, *more: Any) -> None:
        super().__init__(where, Batches(where, records, position), aborted, position, *more)


class Batches:
    """The batches of a fetch before the first damaged one; a fetch that starts with damage raises DamagedLog."""

    def __init__(self, where: TopicPartition, batches: Any, position: int) -> None:
        self._where, self._batches, self._position = where, batches, position
        self._is_first = True
        self._next: Any = None
        self._last: Any = None
        self._expanded = 0

    @property
    def position(self) -> int:
        """The offset after the last checked batch: the reader has everything below it."""
        return self._position

    def has_next(self) -> bool:
        """Whether there is another batch. Raises DamagedLog.

        False once the records that were read have expanded to MAX_EXPANDED_BYTES: aiokafka fetches the rest again.
        """
        if self._last is not None:
            self._expanded += expanded_bytes(self._last)
            self._last = None
        if self._expanded >= MAX_EXPANDED_BYTES:
            return False
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
        self._last, self._next = self._next, None
        return self._last

    def _intact(self) -> Any:
        try:
            batch = self._batches.next_batch()
            is_whole = batch.magic == MAGIC and batch.validate_crc()
        except Exception:  # a parser may raise anything for bytes that are not a batch
            return None
        return batch if is_whole and self._is_in_place(batch) else None

    def _is_in_place(self, batch: Any) -> bool:
        """Whether the batch's offsets fit the position. The checksum does not cover the base offset."""
        if batch.next_offset <= self._position:
            return False
        if self._is_first:
            return batch.base_offset <= self._position or self._where.topic not in _dense
        return batch.base_offset == self._position or (
            batch.base_offset > self._position and self._where.topic not in _dense
        )


def expanded_bytes(batch: Any) -> int:
    """How much memory the records of this batch take, if it was compressed and has been read; else 0."""
    return batch.expanded_bytes if isinstance(batch, _Batch) else 0


class _Batch:
    """A checked batch, with the interface that aiokafka's PartitionRecords needs."""

    is_control_batch = False
    expanded_bytes = 0

    def __init__(self, where: TopicPartition, batch: Any) -> None:
        self._where, self._batch = where, batch
        self.base_offset, self.next_offset = batch.base_offset, batch.next_offset
        self.producer_id, self.is_transactional = batch.producer_id, batch.is_transactional

    def validate_crc(self) -> bool:
        """True: Batches has checked it already."""
        return True

    def __iter__(self) -> Iterator[DefaultRecord]:
        return iter(self._records())

    def _records(self) -> list[DefaultRecord]:
        batch = self._batch
        count = batch.last_offset_delta + 1
        if count > MAX_RECORDS:
            return [self._unreadable(f"more than {MAX_RECORDS} records in a batch")]
        try:
            records = list(batch)
        except MemoryError:
            raise  # a process with more memory would read the records instead
        except Exception as error:
            return [self._unreadable(repr(error))]
        if batch.compression_type:
            self.expanded_bytes = sum(map(_bytes_of, records))
        return records

    def _unreadable(self, why: str) -> DefaultRecord:
        batch, last = self._batch, self.next_offset - 1
        pass_over(self._where.topic, self._where.partition, last, why)
        return DefaultRecord(last, batch.max_timestamp, batch.timestamp_type, None, UNREADABLE, [])


def _bytes_of(record: DefaultRecord) -> int:
    headers = sum(len(name) + len(value or b"") for name, value in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers
