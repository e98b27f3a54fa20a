"""Encodes a state as canonical bytes: with version and checksum, in pieces that fit Kafka records.

Equal states have equal bytes (docs/EXACTNESS.md, I2). Bodies are JSON, because its ints have no upper bound and people
can read it. Decoding altered bytes raises DamagedSnapshot.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from app.models.undecodable import UNDECODABLE

# Raise it whenever the bytes of a state change, also for another chunk size or encoding.
FORMAT_VERSION = 1
MAX_CHUNK_BYTES = 512 * 1024
# The head contains a body of up to this size; the head then stays below MAX_CHUNK_BYTES.
MAX_INLINE_BYTES = MAX_CHUNK_BYTES - 4096
DIGEST_BYTES = 32

T = TypeVar("T")


class DamagedSnapshot(ValueError):
    """The bytes are not a complete snapshot or block that Matchstream wrote for this log."""


class Body(NamedTuple):
    """What a snapshot says whose checksum is right."""

    instrument: str
    offset: int
    json: bytes


class _Head(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """The identity of a snapshot and the digest of its body; `chunks` is 0 if the head contains the body."""

    format: int
    log_id: str
    instrument: str
    offset: int
    chunks: int
    digest: bytes
    body: bytes


_encode = msgspec.json.Encoder().encode
_decode_head = msgspec.json.Decoder(_Head).decode


def pack(body: Body, log_id: str) -> tuple[bytes, list[bytes]]:
    """(head, chunks) of a snapshot; small snapshots have no chunks. Each value has at most MAX_CHUNK_BYTES."""
    instrument, offset, json = body
    inline = len(json) * 4 // 3 <= MAX_INLINE_BYTES  # bytes are base64 in JSON
    chunks = [] if inline else [json[i : i + MAX_CHUNK_BYTES] for i in range(0, len(json), MAX_CHUNK_BYTES)]
    head = _Head(FORMAT_VERSION, log_id, instrument, offset, len(chunks), digest(json), json if inline else b"")
    return seal(_encode(head)), chunks


def unpack(head: bytes, chunk: Callable[[int], bytes | None], log_id: str) -> Body:
    """The body of a snapshot; `chunk(i)` returns the i-th chunk, None if it is missing. Raises DamagedSnapshot."""
    found = read(_decode_head, unseal(head))
    if (found.format, found.log_id) != (FORMAT_VERSION, log_id):
        raise DamagedSnapshot(
            f"has format {found.format} of the log {found.log_id}, expected {FORMAT_VERSION} of {log_id}"
        )
    json = _joined(found.chunks, chunk) if found.chunks else found.body
    if digest(json) != found.digest:
        raise DamagedSnapshot(f"{found.instrument}@{found.offset}: wrong checksum")
    return Body(found.instrument, found.offset, json)


def log_id_of(head: bytes) -> str:
    """The id of the log that this snapshot belongs to; raises DamagedSnapshot."""
    return read(_decode_head, unseal(head)).log_id


def seal(payload: bytes) -> bytes:
    """The payload after its checksum."""
    return digest(payload) + payload


def unseal(value: bytes) -> bytes:
    """The payload; raises DamagedSnapshot if the checksum is wrong."""
    payload = value[DIGEST_BYTES:]
    if len(value) < DIGEST_BYTES or value[:DIGEST_BYTES] != digest(payload):
        raise DamagedSnapshot("wrong checksum")
    return payload


def digest(payload: bytes) -> bytes:
    """The checksum of these bytes."""
    return blake2b(payload, digest_size=DIGEST_BYTES).digest()


def read(decode: Callable[[bytes], T], payload: bytes) -> T:
    """The decoded payload; raises DamagedSnapshot."""
    try:
        return decode(payload)
    except UNDECODABLE as error:
        raise DamagedSnapshot(str(error)) from error


def _joined(count: int, chunk: Callable[[int], bytes | None]) -> bytes:
    chunks: list[bytes] = []
    while len(chunks) < count:
        piece = chunk(len(chunks))
        if piece is None:
            raise DamagedSnapshot(f"chunk {len(chunks)} of {count} is missing")
        chunks.append(piece)
    return b"".join(chunks)
