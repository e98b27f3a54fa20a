"""Cursors: opaque text that names the row after which the next page of a list begins, never an offset."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

MAX_CURSOR_CHARACTERS = 256


class InvalidCursor(ValueError):
    """The text is not a cursor from one of our lists."""


class RowKey(NamedTuple):
    """A row's position in a list: its time (ms since the epoch), its instrument, and its seq there."""

    time_ms: Annotated[int, Meta(ge=0, le=253_402_300_799_999)]
    instrument: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]*$", max_length=64)]
    seq: Annotated[int, Meta(ge=0, le=2**63 - 1)]


_decode = msgspec.json.Decoder(RowKey).decode


def cursor_of(key: RowKey) -> str:
    """The cursor for the page after this row."""
    return urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def row_key_of(cursor: str) -> RowKey:
    """The row that a cursor names; raises InvalidCursor."""
    if len(cursor) > MAX_CURSOR_CHARACTERS:
        raise InvalidCursor("too long for a cursor: use the next_cursor of a list")
    try:
        return _decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, msgspec.MsgspecError) as error:
        raise InvalidCursor("not a cursor: use the next_cursor of a list") from error
