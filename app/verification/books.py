"""Compares the books that a gateway showed with books rebuilt from the log's reports, each at the same seq (O3)."""

from collections.abc import Iterator, Mapping
from itertools import accumulate

import msgspec

from app.matching.words import Side
from app.models.answers import Book, BookLevel
from app.models.checksum import CHECKED_LEVELS, book_checksum
from app.models.decimals import text, units
from app.models.http import rfc3339
from app.models.reports import ExecutionReport, LevelChange
from app.verification.effective import difference

MOST_LEVELS = 1_000  # a gateway shows at most this many on a side
RESERVED = "_"  # the first character of names that are not markets

_Levels = dict[tuple[Side, str], LevelChange]


class Books:
    """Rebuilds the books of all listed instruments. `answers`: instrument -> the book that the gateway showed."""

    def __init__(self, answers: Mapping[str, Book]) -> None:
        self._answers = dict(answers)
        self._levels: dict[str, _Levels] = {name: {} for name in answers}
        self._seqs: dict[str, int] = {}
        self._required_seqs: dict[str, int] = {}

    def follow(self, report: ExecutionReport, is_required: bool) -> Iterator[str]:
        """Apply the log's next report; if the gateway's book has the same seq, compare both and yield the difference.

        `is_required`: the gateway must have applied this report already.
        """
        if report.instrument.startswith(RESERVED):
            return
        self._seqs[report.instrument] = report.seq
        if is_required:
            self._required_seqs[report.instrument] = report.seq
        levels = self._levels.get(report.instrument)
        if levels is None:
            return
        for level in report.levels:
            if level.orders:
                levels[level.side, level.price] = level
            else:
                levels.pop((level.side, level.price), None)
        answer = self._answers[report.instrument]
        if answer.seq == report.seq and answer != (right := _book(report, levels)):
            found, should = msgspec.json.encode(answer), msgspec.json.encode(right)
            yield f"book of {report.instrument} at seq {answer.seq}: {difference(found, should)}, as the log has it"

    def end(self) -> Iterator[str]:
        """Each book that is behind the required seq, or ahead of the log."""
        for instrument, seq in self._required_seqs.items():
            answer = self._answers.get(instrument)
            if answer is None or answer.seq < seq:
                yield f"book of {instrument} is at seq {answer and answer.seq}, but the log is at {seq}"
        for instrument, answer in self._answers.items():
            if not 1 <= answer.seq <= (seq := self._seqs.get(instrument, 0)):
                yield f"book of {instrument} is at seq {answer.seq}, but the log ends at {seq}"


def _book(report: ExecutionReport, levels: _Levels) -> Book:
    """The gateway's right answer after this report."""
    bids, asks = ([level for (of, _), level in levels.items() if of is side] for side in Side)
    bids.sort(key=_price, reverse=True)
    asks.sort(key=_price)
    checked = ([(level.price, level.quantity) for level in side[:CHECKED_LEVELS]] for side in (bids, asks))
    time = rfc3339(report.time)
    return Book(report.instrument, report.seq, time, _shown(bids), _shown(asks), book_checksum(*checked))


def _shown(levels: list[LevelChange]) -> list[BookLevel]:
    shown = levels[:MOST_LEVELS]
    totals = accumulate(units(level.quantity) for level in shown)
    return [
        BookLevel(level.price, level.quantity, level.orders, text(total, _decimals(level.quantity)))
        for level, total in zip(shown, totals, strict=True)
    ]


def _price(level: LevelChange) -> int:
    return units(level.price)


def _decimals(decimal: str) -> int:
    return len(decimal.partition(".")[2])
