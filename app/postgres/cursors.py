"""Cursors: where a list goes on, as text that only we can read. They name a row, never an offset."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

MAX_CURSOR_CHARACTERS = 256


class InvalidCursor(ValueError):
    """The text is no cursor that a list gave."""


class RowKey(NamedTuple):
    """Where in a list a row stands: its time (ms since the epoch), its instrument, its seq there."""

    time_ms: Annotated[int, Meta(ge=0, le=253_402_300_799_999)]
    instrument: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]*$", max_length=64)]
    seq: Annotated[int, Meta(ge=0, le=2**63 - 1)]


_decode = msgspec.json.Decoder(RowKey).decode


def cursor_of(key: RowKey) -> str:
    """The cursor that goes on after this row."""
    return urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def row_key_of(cursor: str) -> RowKey:
    """The row that a cursor names; raises InvalidCursor."""
    if len(cursor) > MAX_CURSOR_CHARACTERS:
        raise InvalidCursor("too long for a cursor")
    try:
        return _decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, msgspec.MsgspecError) as error:
        raise InvalidCursor("not a cursor that a list gave") from error
