"""The latest reports of every instrument, bounded together, and the book as it was before any of them."""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from app.models.reports import ExecutionReport, LevelChange
from web.market.books import LevelBook, Market

MAX_ENTRIES = 100_000  # orders, trades and levels in the reports of all instruments, and one for each report


class Entry(NamedTuple):
    """A report, and its levels as they were before it."""

    report: ExecutionReport
    before: list[LevelChange]

    @property
    def size(self) -> int:
        report = self.report
        return 1 + len(report.orders) + len(report.trades) + len(report.levels)


class Ring:
    """By instrument, oldest first, with dense seqs; the oldest of all is forgotten first."""

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._max_entries = max_entries
        self._of: dict[str, deque[Entry]] = {}
        self._turns: deque[str] = deque()
        self._size = 0

    def add(self, report: ExecutionReport, before: list[LevelChange]) -> None:
        """The next report."""
        entry = Entry(report, before)
        self._of.setdefault(report.instrument, deque()).append(entry)
        self._turns.append(report.instrument)
        self._size += entry.size
        while self._size > self._max_entries and len(self._turns) > 1:
            self._size -= self._of[self._turns.popleft()].popleft().size

    def first_seq(self, market: Market) -> int:
        """The seq of the oldest report that is here; the next one's when none is."""
        entries = self._of.get(market.listing.instrument)
        return entries[0].report.seq if entries else market.seq + 1

    def after(self, market: Market, seq: int) -> Iterator[ExecutionReport]:
        """The reports after a seq; all of them must be here."""
        entries = self._of.get(market.listing.instrument, deque())
        return (entry.report for entry in islice(entries, seq + 1 - self.first_seq(market), None))

    def book_at(self, market: Market, seq: int) -> LevelBook:
        """A copy of the book as it was after the report with this seq; all later reports must be here."""
        book = market.book.copy()
        for entry in reversed(self._of.get(market.listing.instrument, ())):
            if entry.report.seq <= seq:
                break
            for level in reversed(entry.before):
                book.put(level)
        return book
