"""Every stored field, from the schema and the models themselves, and how each is altered; or why none need be.

A field that somebody adds is altered too, without a word here, and must be seen; what cannot be seen is named in
EXCUSED with the reason.
"""

import json
from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple, get_args

import msgspec
from msgspec import Struct

from app.matching.identities import Block
from app.models.answers import Book
from app.models.candles import CandlesUpdate
from app.models.reports import ExecutionReport, PublicTrade
from app.models.sealed import _Head
from app.topics import (
    API_KEYS,
    BOOKS_CHANGELOG,
    CANDLES,
    CANDLES_CHANGELOG,
    CLEARING,
    EXECUTIONS,
    ORDERS,
    TOPICS,
    TRADES,
)
from app.verification.ledger import Entry, Request
from tables.recovery.changelog import Manifest

# Each place in which something is stored or said; a topic or table that is none of these fails the test.
COMPARED_TOPICS = {EXECUTIONS.name, TRADES.name, BOOKS_CHANGELOG.name, CANDLES.name, CANDLES_CHANGELOG.name}
EXCUSED_TOPICS = {
    ORDERS.name: "it is the log that everything else is compared with; a gap or another first record is seen",
    API_KEYS.name: "operators make and revoke keys: no log says which there must be",
    CLEARING.name: "it says what the order log does not imply",
}
PROJECTED = "nothing is settled in this recording: tests/verification/test_checker_and_clearing.py alters these"
EXCUSED_TABLES = {
    "alembic_version": "the number of the schema, which nothing in the log implies",
    **dict.fromkeys(
        ("cycles", "cycle_ranges", "obligations", "instructions", "statements", "cycle_positions"), PROJECTED
    ),
    "removed_history": "nothing is removed in this recording",
}

# How a column of this type is altered in SQL, given its name; NULL becomes a value.
SQL = {
    # Not + 1, which may be another row's key.
    "int4": "-coalesce({0}, 0) - 7",
    "int8": "-coalesce({0}, 0) - 7",
    "numeric": "coalesce({0}, 0) + 0.01",
    "bool": "NOT {0}",
    "text": "coalesce({0}, '') || 'x'",
    "uuid": "coalesce(overlay({0}::text placing translate(right({0}::text, 1), '0123456789abcdef', '123456789abcdef0') "
    "from 36)::uuid, '00000000-0000-8000-8000-000000000001')",
    "timestamptz": "coalesce({0}, now()) + interval '1 microsecond'",
    "jsonb": "CASE jsonb_typeof({0}) WHEN 'object' THEN {0} || '{{\"max_fills\": 7}}' ELSE {0} || '[1]' END",
}

EXCUSED_LEDGER = {
    "request.kind": "why the generator sent it: nobody was answered it",
    "request.method": "how the client asked; the answer is judged, not the way to it",
    "request.path": "as the method",
    "request.content_type": "as the method: a body that was understood is compared itself",
    "attempts": "the client's own count",
    "due_ns": "the client's own clock",
    "done_ns": "the client's own clock",
    "error": "what the client's socket said; the outcome is then unknown",
}
# A manifest's fences are compared upwards only: a lower one is as true, since readers drop the reports they have.


def unknown_topics() -> set[str]:
    """The topics that are neither compared nor excused."""
    return {topic.name for topic in TOPICS} ^ (COMPARED_TOPICS | EXCUSED_TOPICS.keys())


class Path(NamedTuple):
    """A field of a message; between the names are lists or structs."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(self.names)


def paths(shape: type[Struct], *above: str) -> Iterator[Path]:
    """Every field of a message, those of the messages inside it included."""
    for field in msgspec.structs.fields(shape):
        yield Path((*above, field.name))
        for inner in _structs(field.type):
            yield from paths(inner, *above, field.name)


def _structs(type_: Any) -> Iterator[type[Struct]]:
    if isinstance(type_, type) and issubclass(type_, Struct):
        yield type_
    for argument in get_args(type_):
        yield from _structs(argument)


REPORT_PATHS = list(paths(ExecutionReport))
TRADE_PATHS = list(paths(PublicTrade))
UPDATE_PATHS = list(paths(CandlesUpdate))
BOOK_PATHS = list(paths(Book))


def alter_message(value: bytes, path: Path) -> bytes | None:
    """The JSON message with this field altered; None when it does not have what the field is in."""
    message = json.loads(value)
    inside = message
    for name in path.names[:-1]:
        inside = inside.get(name)
        if isinstance(inside, list):
            inside = inside[0] if inside else None
        if inside is None:
            return None
    name = path.names[-1]
    inside[name] = altered(inside.get(name))
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()


def has(value: bytes, path: Path) -> bool:
    """Whether the message says something in this field."""
    inside = json.loads(value)
    for name in path.names:
        if isinstance(inside, list):
            inside = inside[0] if inside else None
        inside = inside.get(name) if isinstance(inside, dict) else None
    return inside not in (None, [])


def altered(value: Any) -> Any:
    """Another value of the same kind, as near as possible."""
    match value:
        case None:
            return 1
        case bool():
            return not value
        case Enum():
            members = list(type(value))
            return members[(members.index(value) + 1) % len(members)]
        case int():
            return value + 1
        case str() | bytes():
            last = value[-1:]
            other = {"0": "1", b"\x00": b"\x01"}.get(last, "0" if isinstance(value, str) else b"\x00")
            return value[:-1] + other
        case tuple() | list():
            return value[:-1] if value else type(value)([1])
        case dict():
            return dict(list(value.items())[1:])
    raise TypeError(f"nobody has said how {type(value).__name__} is altered")


BLOCK_FIELDS = ("key", "fingerprint", "seq", "time_ms")
assert len(BLOCK_FIELDS) == len(get_args(get_args(Block)[0]))
HEAD_FIELDS = _Head.__struct_fields__
MANIFEST_FIELDS = Manifest.__struct_fields__
LEDGER_FIELDS = (
    *(name for name in Entry._fields if name != "request"),
    *(f"request.{name}" for name in Request._fields),
)
