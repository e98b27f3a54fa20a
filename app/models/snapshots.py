"""Encodes a book's state and id blocks as canonical bytes: with version and checksum, in pieces that fit Kafka records.

Equal states have equal bytes (docs/EXACTNESS.md, I2). Bodies are JSON, because its ints have no upper bound and people
can read it. Decoding altered bytes raises DamagedSnapshot.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from app.matching.identities import Block
from app.matching.rejections import RejectionsState
from app.matching.states import BookState, OpenOrder
from app.models.conversion import without_later_defaults
from app.models.undecodable import UNDECODABLE

# Raise it whenever the bytes of a state change, also for another chunk size or encoding.
FORMAT_VERSION = 1
MAX_CHUNK_BYTES = 512 * 1024
# The head contains a body of up to this size; the head then stays below MAX_CHUNK_BYTES.
MAX_INLINE_BYTES = MAX_CHUNK_BYTES - 4096
DIGEST_BYTES = 32

State: TypeAlias = BookState | RejectionsState
T = TypeVar("T")


class DamagedSnapshot(ValueError):
    """The bytes are not a complete snapshot or id block that Matchstream wrote for this log."""


class _Head(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """The identity of a snapshot and the digest of its body; `chunks` is 0 if the head contains the body."""

    format: int
    log_id: str
    instrument: str
    offset: int
    chunks: int
    digest: bytes
    body: bytes


_LATER_FIELDS = ("fees", "fees_seq", "busted")
_encode = msgspec.json.Encoder().encode
_decode_head = msgspec.json.Decoder(_Head).decode
_decode_block = msgspec.json.Decoder(tuple[int, Block]).decode
_decode_body: dict[bool, Callable[[bytes], State]] = {
    False: msgspec.json.Decoder(BookState).decode,
    True: msgspec.json.Decoder(RejectionsState).decode,
}


def encode_state(state: State, log_id: str) -> tuple[bytes, list[bytes]]:
    """(head, chunks) of a snapshot; small snapshots have no chunks. Each value has at most MAX_CHUNK_BYTES."""
    body = _body(state)
    digest = _digest(body)
    inline = len(body) * 4 // 3 <= MAX_INLINE_BYTES  # bytes are base64 in JSON
    chunks = [] if inline else [body[i : i + MAX_CHUNK_BYTES] for i in range(0, len(body), MAX_CHUNK_BYTES)]
    head = _Head(FORMAT_VERSION, log_id, state.instrument, state.offset, len(chunks), digest, body if inline else b"")
    return _seal(_encode(head)), chunks


def decode_state(head: bytes, chunk: Callable[[int], bytes | None], log_id: str) -> State:
    """The state of a snapshot; `chunk(i)` returns the i-th chunk, None if it is missing. Raises DamagedSnapshot."""
    found = _read(_decode_head, _unseal(head))
    if (found.format, found.log_id) != (FORMAT_VERSION, log_id):
        raise DamagedSnapshot(
            f"has format {found.format} of the log {found.log_id}, expected {FORMAT_VERSION} of {log_id}"
        )
    body = _joined(found.chunks, chunk) if found.chunks else found.body
    if _digest(body) != found.digest:
        raise DamagedSnapshot(f"{found.instrument}@{found.offset}: wrong checksum")
    state = _read(_decode_body[found.instrument.startswith("_")], body)
    if (state.instrument, state.offset) != (found.instrument, found.offset):
        raise DamagedSnapshot(f"{found.instrument}@{found.offset} contains {state.instrument}@{state.offset}")
    return state


def log_id_of(head: bytes) -> str:
    """The id of the log that this snapshot belongs to; raises DamagedSnapshot."""
    return _read(_decode_head, _unseal(head)).log_id


def encode_block(block: Block) -> bytes:
    """The value of a complete id block."""
    return _seal(_encode((FORMAT_VERSION, block)))


def block_payload(value: bytes) -> bytes:
    """The JSON [format, records] of an id block, without its checksum and unchecked: for showing differences."""
    return value[DIGEST_BYTES:]


def decode_block(value: bytes) -> Block:
    """The content of an id block; raises DamagedSnapshot."""
    version, block = _read(_decode_block, _unseal(value))
    if version != FORMAT_VERSION:
        raise DamagedSnapshot(f"id block has format {version}, expected {FORMAT_VERSION}")
    return block


def state_hash(state: State) -> str:
    """A hash that is equal only for equal states; `verify` compares it."""
    return _digest(_body(state)).hex()


def _body(state: State) -> bytes:
    return _encode(_without_later_fields(state)) if isinstance(state, BookState) else _encode(state)


def _without_later_fields(state: BookState) -> tuple[Any, ...]:
    """The state without what earlier releases lacked, as long as it says nothing: so their logs keep their bytes."""
    values = state._asdict() | {"listing": without_later_defaults(state.listing)}
    values |= {name: _without_sums(values[name]) for name in ("bids", "asks", "stops")}
    for name in reversed(_LATER_FIELDS):
        if values[name] != BookState._field_defaults[name]:
            break
        del values[name]
    return tuple(values.values())


def _without_sums(orders: tuple[OpenOrder, ...]) -> list[tuple[Any, ...]]:
    """Open orders; the fee sum, the last field, is left out where it is 0."""
    return [order if order[-1] else order[:-1] for order in orders]


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
        raise DamagedSnapshot("wrong checksum")
    return payload


def _digest(payload: bytes) -> bytes:
    return blake2b(payload, digest_size=DIGEST_BYTES).digest()


def _read(decode: Callable[[bytes], T], payload: bytes) -> T:
    try:
        return decode(payload)
    except UNDECODABLE as error:
        raise DamagedSnapshot(str(error)) from error
