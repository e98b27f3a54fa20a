"""The ledger of clients' requests and their outcomes: ok, refused or unknown (O5).

These are Jepsen's :ok, :fail and :info. Unknown means that the request may or may not have taken effect.
"""

import json
import re
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

ORDERS_PATH = "/api/v1/orders"
JSON = "application/json"


_PATH = re.compile(rf"{ORDERS_PATH}/([0-9a-f-]{{36}})(?:/|\?|$)")


def order_name(client_id: str, instrument: str, key: str) -> str:
    """The identity of an order as one text; names have no spaces, so it is unambiguous."""
    return f"{client_id} {instrument} {key}"


class Kind(StrEnum):
    """Why a request is in the stream."""

    LIMIT = "limit"
    MARKET = "market"
    CANCEL = "cancel"
    REPEAT = "repeat"
    HOSTILE = "hostile"


class Request(NamedTuple):
    """One HTTP request. `about` is the `order_name` of the order to place or cancel; only the venue knows its id.

    `must_refuse`: the only right answer is a 4xx.
    """

    kind: Kind
    method: str
    path: str
    body: bytes = b""
    key: str | None = None
    about: str | None = None
    content_type: str = JSON
    must_refuse: bool = False

    @property
    def places(self) -> bool:
        """Whether the request, if accepted, creates an order."""
        return self.method == "POST" and self.path == ORDERS_PATH and self.about is not None

    @property
    def order_id(self) -> str | None:
        """The order id in the path, if any."""
        found = _PATH.match(self.path)
        return found[1] if found else None


class Outcome(StrEnum):
    OK = "ok"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Entry(NamedTuple):
    """One request with all its attempts.

    `status` is the last HTTP status, None if no answer came. `answered_id` is the order id in the last answer. Times
    are ns of one monotonic clock; `due_ns` is when the request was scheduled.
    """

    request: Request
    outcome: Outcome
    status: int | None
    attempts: int
    due_ns: int
    done_ns: int
    answered_id: str | None = None
    error: str | None = None


def read_entries(file: Path) -> list[Entry]:
    """The entries of a file with one JSON array per line; raises msgspec.MsgspecError."""
    decode = msgspec.json.Decoder(Entry).decode
    with file.open("rb") as lines:
        return [decode(line) for line in lines]


def body_of(asked: Request) -> dict[str, Any]:
    """The fields of an order's body, with numbers as text exactly as sent; raises ValueError."""
    body: dict[str, Any] = json.loads(asked.body, parse_float=str, parse_int=str)
    return body
