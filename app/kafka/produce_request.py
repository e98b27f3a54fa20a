"""Encode Kafka's produce request with struct, in about 10 µs: aiokafka's own encoding takes 250 µs.

This is version 7, which every broker since Kafka 2.1 understands; app/kafka/brokers.py sends it.
"""

import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from aiokafka.record.default_records import DefaultRecordBatchBuilder

ALL_REPLICAS = -1
MAGIC = 2
NO_COMPRESSION = NOT_TRANSACTIONAL = 0
MAX_SEQUENCE = 2**31  # sequence numbers restart at 0 here

_BODY = struct.Struct(">hhii")  # no transactional id, acks, timeout in ms, number of topics
_SHORT, _INT, _TWO_INTS = struct.Struct(">h"), struct.Struct(">i"), struct.Struct(">ii")
_RESULT = struct.Struct(">ihqqq")  # partition, error code, base offset, timestamp, first offset of the log


class Result(NamedTuple):
    """The result for one partition's batch. For a repeated batch whose offset Kafka has forgotten, the offset is -1."""

    error_code: int
    base_offset: int


def batch_of(
    records: Iterable[tuple[bytes, bytes | None]], producer: tuple[int, int], sequence: int, most_bytes: int
) -> tuple[bytes, int]:
    """A batch with as many of these records as fit, at least one, and their number.

    `producer` is the id and epoch from Kafka; `sequence` is the sequence number of the first record.
    """
    builder = DefaultRecordBatchBuilder(MAGIC, NO_COMPRESSION, NOT_TRANSACTIONAL, *producer, sequence, most_bytes)
    count = 0
    for key, value in records:
        if builder.append(count, None, key, value, []) is None:
            break
        count += 1
    return bytes(builder.build()), count


class Produce:
    """A request with one batch for each of these partitions, all of which the broker leads."""

    api_key, api_version = 0, 7

    def __init__(self, batches: Mapping[str, Mapping[int, bytes]], timeout_ms: int) -> None:
        self._batches, self._timeout_ms = batches, timeout_ms

    def encode(self) -> bytes:
        """The body."""
        parts = [_BODY.pack(-1, ALL_REPLICAS, self._timeout_ms, len(self._batches))]
        for topic, batches in self._batches.items():
            name = topic.encode()
            parts += (_SHORT.pack(len(name)), name, _INT.pack(len(batches)))
            for partition, batch in batches.items():
                parts += (_TWO_INTS.pack(partition, len(batch)), batch)
        return b"".join(parts)

    def decode(self, data: memoryview) -> dict[tuple[str, int], Result]:
        """The result for each partition."""
        results: dict[tuple[str, int], Result] = {}
        (topics,), at = _INT.unpack_from(data), _INT.size
        for _ in range(topics):
            (length,), at = _SHORT.unpack_from(data, at), at + _SHORT.size
            topic, at = str(data[at : at + length], "utf-8"), at + length
            (partitions,), at = _INT.unpack_from(data, at), at + _INT.size
            for _ in range(partitions):
                partition, code, offset, _, _ = _RESULT.unpack_from(data, at)
                results[topic, partition] = Result(code, offset)
                at += _RESULT.size
        return results
