"""The ledger that the load generator keeps: what was asked and what was answered, for the checker to judge."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from app.verification.ledger import Entry, Outcome, read_entries

OVERLOADED = (429, 503)


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
    return Ledger(read_entries(file))
