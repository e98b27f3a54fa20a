"""What was asked and what was answered: one entry for each request, ok, refused or unknown, for the checker to judge.

The three words are Jepsen's :ok, :fail and :info. Unknown means that the request may or may not have had its effect.
"""

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import msgspec

from load.request import Request

OVERLOADED = (429, 503)


class Outcome(StrEnum):
    OK = "ok"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Entry(NamedTuple):
    """One request with all its attempts.

    `status` is the last HTTP status, None if no answer came. `answered_id` is the order id in the last answer. Times
    are ns of one monotonic clock, `due_ns` being when the request should have been sent.
    """

    request: Request
    outcome: Outcome
    status: int | None
    attempts: int
    due_ns: int
    done_ns: int
    answered_id: str | None = None
    error: str | None = None


def outcome_of(status: int | None) -> Outcome:
    """What one answer says about its request; no answer and every 5xx but 503 leave it open."""
    if status is not None and 200 <= status < 300:
        return Outcome.OK
    if status is not None and (400 <= status < 500 or status in OVERLOADED):
        return Outcome.REFUSED
    return Outcome.UNKNOWN


def is_worth_repeating(status: int | None) -> bool:
    """Whether another attempt with the same key may bring a better answer."""
    return outcome_of(status) is Outcome.UNKNOWN or status in OVERLOADED


def over_all(last: Outcome, had_unknown: bool) -> Outcome:
    """The outcome of all attempts: a refusal says nothing about an earlier attempt that had no answer."""
    return Outcome.UNKNOWN if last is Outcome.REFUSED and had_unknown else last


class Ledger:
    """Entries in the order in which they were finished."""

    def __init__(self, entries: list[Entry] | None = None) -> None:
        self.entries: list[Entry] = entries or []

    def record(self, entry: Entry) -> None:
        self.entries.append(entry)

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def outcomes(self) -> dict[str, int]:
        """How many requests had which outcome, all three always there."""
        counts = Counter(entry.outcome for entry in self.entries)
        return {outcome.value: counts[outcome] for outcome in Outcome}

    def write(self, file: Path) -> None:
        """One JSON line for each entry; bodies in base64, because hostile ones are not text."""
        with file.open("wb") as out:
            for entry in self.entries:
                out.write(msgspec.json.encode(entry) + b"\n")


def read(file: Path) -> Ledger:
    """What `write` wrote; raises msgspec.ValidationError."""
    decode = msgspec.json.Decoder(Entry).decode
    with file.open("rb") as lines:
        return Ledger([decode(line) for line in lines])
