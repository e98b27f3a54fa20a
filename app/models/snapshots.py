"""A book's state and its id blocks as bytes: versioned, checksummed, in pieces that fit a Kafka record, canonical.

Equal states have equal bytes (docs/EXACTNESS.md, I2). Bodies are JSON: its ints have no upper bound,
and people can read them. Anything but what was written raises DamagedSnapshot.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from app.matching.identities import Block
from app.matching.rejections import RejectionsState
from app.matching.states import BookState
from app.models.conversion import without_later_defaults
from app.models.undecodable import UNDECODABLE

# Raised whenever a state is written differently; chunk size and encoding are part of it.
FORMAT_VERSION = 1
MAX_CHUNK_BYTES = 512 * 1024
# A body up to this size goes into the head itself, which stays below the chunk's size.
MAX_INLINE_BYTES = MAX_CHUNK_BYTES - 4096
DIGEST_BYTES = 32

State: TypeAlias = BookState | RejectionsState
T = TypeVar("T")


class DamagedSnapshot(ValueError):
    """The bytes are not a whole snapshot or block that this program wrote for this log."""


class _Head(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What the snapshot is of, and what its body must be; `chunks` is 0 when `body` is here."""

    format: int
    log_id: str
    instrument: str
    offset: int
    chunks: int
    digest: bytes
    body: bytes


_encode = msgspec.json.Encoder().encode
_decode_head = msgspec.json.Decoder(_Head).decode
_decode_block = msgspec.json.Decoder(tuple[int, Block]).decode
_decode_body: dict[bool, Callable[[bytes], State]] = {
    False: msgspec.json.Decoder(BookState).decode,
    True: msgspec.json.Decoder(RejectionsState).decode,
}


def encode_state(state: State, log_id: str) -> tuple[bytes, list[bytes]]:
    """(head, chunks) of a snapshot; small ones have no chunks. Each value is at most MAX_CHUNK_BYTES."""
    body = _body(state)
    digest = _digest(body)
    inline = len(body) * 4 // 3 <= MAX_INLINE_BYTES  # bytes are base64 in JSON
    chunks = [] if inline else [body[i : i + MAX_CHUNK_BYTES] for i in range(0, len(body), MAX_CHUNK_BYTES)]
    head = _Head(FORMAT_VERSION, log_id, state.instrument, state.offset, len(chunks), digest, body if inline else b"")
    return _seal(_encode(head)), chunks


def decode_state(head: bytes, chunk: Callable[[int], bytes | None], log_id: str) -> State:
    """The state of a snapshot; `chunk(i)` gives its i-th chunk, None if there is none. Raises DamagedSnapshot."""
    found = _read(_decode_head, _unseal(head))
    if (found.format, found.log_id) != (FORMAT_VERSION, log_id):
        raise DamagedSnapshot(f"format {found.format} of the log {found.log_id}, not {FORMAT_VERSION} of {log_id}")
    body = _joined(found.chunks, chunk) if found.chunks else found.body
    if _digest(body) != found.digest:
        raise DamagedSnapshot(f"{found.instrument}@{found.offset}: the checksum is wrong")
    state = _read(_decode_body[found.instrument.startswith("_")], body)
    if (state.instrument, state.offset) != (found.instrument, found.offset):
        raise DamagedSnapshot(f"{found.instrument}@{found.offset} holds {state.instrument}@{state.offset}")
    return state


def log_id_of(head: bytes) -> str:
    """The log whose state this snapshot is; raises DamagedSnapshot."""
    return _read(_decode_head, _unseal(head)).log_id


def encode_block(block: Block) -> bytes:
    """The value of a complete id block."""
    return _seal(_encode((FORMAT_VERSION, block)))


def block_payload(value: bytes) -> bytes:
    """An id block's JSON, [format, records], without its checksum; whatever it is, for a comparison."""
    return value[DIGEST_BYTES:]


def decode_block(value: bytes) -> Block:
    """The content of an id block; raises DamagedSnapshot."""
    version, block = _read(_decode_block, _unseal(value))
    if version != FORMAT_VERSION:
        raise DamagedSnapshot(f"an id block of format {version}, not {FORMAT_VERSION}")
    return block


def state_hash(state: State) -> str:
    """Equal for equal states only: what `verify` compares."""
    return _digest(_body(state)).hex()


def _body(state: State) -> bytes:
    if isinstance(state, BookState):
        return _encode(state._replace(listing=without_later_defaults(state.listing)))  # type: ignore[arg-type]
    return _encode(state)


def _joined(count: int, chunk: Callable[[int], bytes | None]) -> bytes:
    chunks: list[bytes] = []
    while len(chunks) < count:
        piece = chunk(len(chunks))
        if piece is None:
            raise DamagedSnapshot(f"chunk {len(chunks)} of {count} is missing")
        chunks.append(piece)
    return b"".join(chunks)


def _seal(payload: bytes) -> bytes:
    return _digest(payload) + payload


def _unseal(value: bytes) -> bytes:
    payload = value[DIGEST_BYTES:]
    if len(value) < DIGEST_BYTES or value[:DIGEST_BYTES] != _digest(payload):
        raise DamagedSnapshot("the checksum is wrong")
    return payload


def _digest(payload: bytes) -> bytes:
    return blake2b(payload, digest_size=DIGEST_BYTES).digest()


def _read(decode: Callable[[bytes], T], payload: bytes) -> T:
    try:
        return decode(payload)
    except UNDECODABLE as error:
        raise DamagedSnapshot(str(error)) from error
