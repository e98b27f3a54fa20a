"""Encodes a book's state and id blocks as canonical bytes (app/models/sealed.py)."""

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from app.matching.identities import Block
from app.matching.rejections import RejectionsState
from app.matching.states import BookState, OpenOrder
from app.models.conversion import without_later_defaults
from app.models.sealed import (
    DIGEST_BYTES,
    FORMAT_VERSION,
    Body,
    DamagedSnapshot,
    digest,
    pack,
    read,
    seal,
    unpack,
    unseal,
)

State: TypeAlias = BookState | RejectionsState

_LATER_FIELDS = ("fees", "fees_seq", "busted")
_encode = msgspec.json.Encoder().encode
_decode_block = msgspec.json.Decoder(tuple[int, Block]).decode
_decode_body: dict[bool, Callable[[bytes], State]] = {
    False: msgspec.json.Decoder(BookState).decode,
    True: msgspec.json.Decoder(RejectionsState).decode,
}


def encode_state(state: State, log_id: str) -> tuple[bytes, list[bytes]]:
    """(head, chunks) of a snapshot; small snapshots have no chunks."""
    return pack(Body(state.instrument, state.offset, _body(state)), log_id)


def decode_state(head: bytes, chunk: Callable[[int], bytes | None], log_id: str) -> State:
    """The state of a snapshot; `chunk(i)` returns the i-th chunk, None if it is missing. Raises DamagedSnapshot."""
    instrument, offset, body = unpack(head, chunk, log_id)
    state = read(_decode_body[instrument.startswith("_")], body)
    if (state.instrument, state.offset) != (instrument, offset):
        raise DamagedSnapshot(f"{instrument}@{offset} contains {state.instrument}@{state.offset}")
    return state


def encode_block(block: Block) -> bytes:
    """The value of a complete id block."""
    return seal(_encode((FORMAT_VERSION, block)))


def block_payload(value: bytes) -> bytes:
    """The JSON [format, records] of an id block, without its checksum and unchecked: for showing differences."""
    return value[DIGEST_BYTES:]


def decode_block(value: bytes) -> Block:
    """The content of an id block; raises DamagedSnapshot."""
    version, block = read(_decode_block, unseal(value))
    if version != FORMAT_VERSION:
        raise DamagedSnapshot(f"id block has format {version}, expected {FORMAT_VERSION}")
    return block


def state_hash(state: State) -> str:
    """A hash that is equal only for equal states; `verify` compares it."""
    return digest(_body(state)).hex()


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
