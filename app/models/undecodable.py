"""Records that cannot be decoded: the exceptions that decoding can raise, and which records are another program's."""

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

UNDECODABLE: tuple[type[Exception], ...] = (ValueError, RecursionError)
"""msgspec's errors and those for non-UTF-8 text are ValueErrors; too deep nesting raises RecursionError.

A reader of records that others may have written must catch all.
"""


def read_own(value: bytes | None, decode: Callable[[bytes], T], decode_head: Callable[[bytes], Any]) -> T | None:
    """The decoded record; None if it lacks even a head, so that another program must have written it.

    Raises UNDECODABLE for a record with a head that this release cannot read: skipping it would lose it.
    """
    try:
        return decode(value or b"")
    except UNDECODABLE:
        try:
            decode_head(value or b"")
        except UNDECODABLE:
            return None
        raise
