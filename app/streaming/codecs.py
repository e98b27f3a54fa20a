"""Decompression that ends: a batch of 1 MB may claim to be many GB, which would take the memory of every reader."""

import io
import sys
from collections.abc import Callable
from gzip import GzipFile

import cramjam
from aiokafka.record.default_records import DefaultRecordBatch

MAX_DECOMPRESSED_BYTES = 64 * 1024 * 1024
# Most batches are small, and a buffer costs as much as filling it.
_BUFFER_BYTES = (1024 * 1024, 8 * 1024 * 1024, MAX_DECOMPRESSED_BYTES)


class TooLarge(ValueError):
    """A batch is larger than MAX_DECOMPRESSED_BYTES once it is decompressed."""


def decompress_gzip(payload: bytes) -> bytes:
    """Raises TooLarge, and what gzip and zlib raise."""
    found = GzipFile(fileobj=io.BytesIO(payload)).read(MAX_DECOMPRESSED_BYTES + 1)
    if len(found) > MAX_DECOMPRESSED_BYTES:
        raise TooLarge(f"more than {MAX_DECOMPRESSED_BYTES} bytes")
    return found


def decompress_lz4(payload: bytes) -> bytes:
    """Raises cramjam.DecompressionError, also for too much."""
    return _into_buffer(cramjam.lz4.decompress_into, payload)


def decompress_zstd(payload: bytes) -> bytes:
    """Raises cramjam.DecompressionError, also for too much."""
    return _into_buffer(cramjam.zstd.decompress_into, payload)


def bound_decompression() -> None:
    """Let aiokafka decompress batches with these. Snappy makes at most 21 bytes of one, so it keeps aiokafka's."""
    module = sys.modules[DefaultRecordBatch.__module__]
    for codec, decompress in (("gzip", decompress_gzip), ("lz4", decompress_lz4), ("zstd", decompress_zstd)):
        assert hasattr(module, f"{codec}_decode"), "aiokafka looks its codecs up in this module"
        setattr(module, f"{codec}_decode", decompress)


def _into_buffer(decompress_into: Callable[[bytes, bytearray], int], payload: bytes) -> bytes:
    for size in _BUFFER_BYTES:
        buffer = bytearray(size)
        try:
            count = decompress_into(payload, buffer)
        except cramjam.DecompressionError:
            if size == MAX_DECOMPRESSED_BYTES:
                raise
        else:
            return bytes(buffer[:count])
    raise AssertionError("the last buffer returns or raises")
