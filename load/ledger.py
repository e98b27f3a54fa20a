"""The load generator's ledger of requests and answers, which the checker judges."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from app.verification.ledger import Entry, Outcome, read_entries

OVERLOADED = (429, 503)


def outcome_of(status: int | None) -> Outcome:
    """The outcome that one answer shows; without an answer, or with a 5xx other than 503, it is unknown."""
    if status is not None and 200 <= status < 300:
        return Outcome.OK
    if status is not None and (400 <= status < 500 or status in OVERLOADED):
        return Outcome.REFUSED
    return Outcome.UNKNOWN


def is_worth_repeating(status: int | None) -> bool:
    """Whether to repeat the request with the same key: the outcome is unknown, or the venue is overloaded."""
    return outcome_of(status) is Outcome.UNKNOWN or status in OVERLOADED


def over_all(last: Outcome, had_unknown: bool) -> Outcome:
    """The outcome of all attempts: after an attempt with an unknown outcome, a later refusal leaves it unknown."""
    return Outcome.UNKNOWN if last is Outcome.REFUSED and had_unknown else last


class Ledger:
    """Entries in the order in which their requests finished."""

    def __init__(self, entries: list[Entry] | None = None) -> None:
        self.entries: list[Entry] = entries or []

    def record(self, entry: Entry) -> None:
        self.entries.append(entry)

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def outcomes(self) -> dict[str, int]:
        """Outcome -> number of requests, for all three outcomes."""
        counts = Counter(entry.outcome for entry in self.entries)
        return {outcome.value: counts[outcome] for outcome in Outcome}

    def write(self, file: Path) -> None:
        """Write one JSON line per entry; bodies are in base64, because hostile ones are not text."""
        with file.open("wb") as out:
            for entry in self.entries:
                out.write(msgspec.json.encode(entry) + b"\n")


def read(file: Path) -> Ledger:
    """The ledger that `write` wrote; raises msgspec.ValidationError."""
    return Ledger(read_entries(file))
