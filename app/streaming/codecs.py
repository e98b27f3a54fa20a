"""Limit decompression: a batch of 1 MB may expand to many GB, and exhaust the memory of every reader."""

import io
import sys
from collections.abc import Callable
from gzip import GzipFile

import cramjam
from aiokafka.record.default_records import DefaultRecordBatch

MAX_DECOMPRESSED_BYTES = 64 * 1024 * 1024
# Try small buffers first: most batches are small, and allocating a buffer costs as much as filling it.
_BUFFER_BYTES = (1024 * 1024, 8 * 1024 * 1024, MAX_DECOMPRESSED_BYTES)


class TooLarge(ValueError):
    """A batch expands to more than MAX_DECOMPRESSED_BYTES."""


def decompress_gzip(payload: bytes) -> bytes:
    """Decompress gzip; raises TooLarge and the errors of gzip and zlib."""
    found = GzipFile(fileobj=io.BytesIO(payload)).read(MAX_DECOMPRESSED_BYTES + 1)
    if len(found) > MAX_DECOMPRESSED_BYTES:
        raise TooLarge(f"more than {MAX_DECOMPRESSED_BYTES} bytes")
    return found


def decompress_lz4(payload: bytes) -> bytes:
    """Decompress LZ4; raises cramjam.DecompressionError, also beyond MAX_DECOMPRESSED_BYTES."""
    return _into_buffer(cramjam.lz4.decompress_into, payload)


def decompress_zstd(payload: bytes) -> bytes:
    """Decompress Zstandard; raises cramjam.DecompressionError, also beyond MAX_DECOMPRESSED_BYTES."""
    return _into_buffer(cramjam.zstd.decompress_into, payload)


def bound_decompression() -> None:
    """Make aiokafka use these functions. Snappy needs no limit: it expands a byte to at most 21."""
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
