"""The orders or trades that the gateway has in memory, newest first, and the row key from which they are complete."""

from collections.abc import Callable, Iterator, Mapping
from heapq import merge
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

from app.postgres import RowKey

MAX_SCANNED = 10_000  # rows of memory read for one page; Postgres answers for older ones


class Listed(Protocol):
    """A row in memory."""

    @property
    def row_key(self) -> RowKey: ...

    @property
    def report_seq(self) -> int: ...

    def answer(self) -> dict[str, Any]: ...


class Recent(NamedTuple):
    """Rows in memory by instrument, newest first: complete from `since` on, or complete altogether (None).

    `known_after`: instrument -> seq; changes by reports up to this seq may be in Postgres only.
    """

    rows: Mapping[str, Callable[[], Iterator[Any]]]
    since: RowKey | None
    known_after: Mapping[str, int]
    is_wanted: Callable[[Any], bool] = lambda row: True

    def newest_first(self) -> Iterator[Any]:
        """The rows of all instruments as one list."""
        return merge(*(rows() for rows in self.rows.values()), key=attrgetter("row_key"), reverse=True)

    def is_whole(self, recorded: Mapping[str, int], below: RowKey) -> bool:
        """Whether Postgres has every row below `below`; `recorded`: instrument -> the last seq that it has recorded."""
        return all(self._is_whole(name, recorded.get(name, 0), below) for name in self.rows)

    def _is_whole(self, instrument: str, recorded: int, below: RowKey) -> bool:
        if recorded < self.known_after.get(instrument, 0):
            return False
        for count, row in enumerate(self.rows[instrument]()):
            if row.report_seq <= recorded:
                break
            if count == MAX_SCANNED or row.row_key < below:
                return False
        return True
