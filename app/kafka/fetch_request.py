"""Encode Kafka's fetch request and decode its answer with struct: aiokafka is slower, field by field in Python.

This is version 11 without a fetch session; every broker since Kafka 2.3 understands it, and since version 10 answers
may be compressed with zstd. app/kafka/brokers.py sends it.
"""

import struct
from collections.abc import Mapping
from typing import NamedTuple

CONSUMER = NO_EPOCH = NO_OFFSET = -1
READ_UNCOMMITTED = 0
MIN_BYTES = 1
MAX_BYTES = 50 * 1024 * 1024  # in an answer; Kafka sends the first batch whole whatever its size

_BODY = struct.Struct(">iiiibiii")  # replica, wait, least and most bytes, isolation, session, its epoch, topics
_SHORT, _INT = struct.Struct(">h"), struct.Struct(">i")
_WANTED = struct.Struct(">iiqqi")  # partition, leader's epoch, offset, first offset of the log, most bytes
_END = struct.pack(">ih", 0, 0)  # no forgotten topics, no rack
_BEGINNING = struct.Struct(">ihii")  # throttled for ms, error code, session, topics
_FOUND = struct.Struct(">ihqqqi")  # partition, error code, end, last stable offset, first offset, aborted transactions
_ABORTED_BYTES = 16
_RECORDS = struct.Struct(">ii")  # preferred replica, bytes of records


class Found(NamedTuple):
    """A partition's part of an answer: the bytes of its batches, and its end."""

    error_code: int
    end: int
    records: bytes


class Answer:
    """Kafka's answer to a fetch request. If its own error code is not 0, it contains no partitions."""

    def __init__(self, error_code: int, found: dict[tuple[str, int], Found]) -> None:
        self.error_code, self.found = error_code, found


class Fetch:
    """A request for records from these offsets on, all on one broker, which answers when a partition has some."""

    api_key, api_version = 1, 11

    def __init__(self, offsets: Mapping[str, Mapping[int, int]], max_wait_ms: int, max_partition_bytes: int) -> None:
        self._offsets, self._max_wait_ms, self._max_partition_bytes = offsets, max_wait_ms, max_partition_bytes

    def encode(self) -> bytes:
        """The body."""
        sizes = MIN_BYTES, MAX_BYTES
        parts = [
            _BODY.pack(CONSUMER, self._max_wait_ms, *sizes, READ_UNCOMMITTED, 0, NO_EPOCH, len(self._offsets)),
        ]
        for topic, offsets in self._offsets.items():
            name = topic.encode()
            parts += (_SHORT.pack(len(name)), name, _INT.pack(len(offsets)))
            parts += [
                _WANTED.pack(partition, NO_EPOCH, offset, NO_OFFSET, self._max_partition_bytes)
                for partition, offset in offsets.items()
            ]
        return b"".join((*parts, _END))

    def decode(self, data: memoryview) -> Answer:
        """The answer's body after the header; raises struct.error when it ends too early."""
        found: dict[tuple[str, int], Found] = {}
        (_, error_code, _, topics), at = _BEGINNING.unpack_from(data), _BEGINNING.size
        for _ in range(topics):
            (length,), at = _SHORT.unpack_from(data, at), at + _SHORT.size
            topic, at = str(data[at : at + length], "utf-8"), at + length
            (partitions,), at = _INT.unpack_from(data, at), at + _INT.size
            for _ in range(partitions):
                partition, code, end, _, _, aborted = _FOUND.unpack_from(data, at)
                at += _FOUND.size + max(0, aborted) * _ABORTED_BYTES
                (_, size), at = _RECORDS.unpack_from(data, at), at + _RECORDS.size
                size = max(0, size)
                found[topic, partition] = Found(code, end, bytes(data[at : at + size]))
                at += size
        return Answer(error_code, found)
