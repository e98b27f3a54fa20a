"""What memory remembers of orders or trades, newest first, and from where on that is all."""

from collections.abc import Callable, Iterator, Mapping
from heapq import merge
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

from app.postgres import RowKey

MAX_SCANNED = 10_000  # rows of memory looked at for one page; what lies below is asked of Postgres


class Listed(Protocol):
    """A row of memory."""

    @property
    def row_key(self) -> RowKey: ...

    @property
    def report_seq(self) -> int: ...

    def answer(self) -> dict[str, Any]: ...


class Recent(NamedTuple):
    """Rows of memory by instrument, newest first, which has all from `since` on, or simply all (None).

    `known_after`: what reports up to this seq said of an instrument may be in Postgres only.
    """

    rows: Mapping[str, Callable[[], Iterator[Any]]]
    since: RowKey | None
    known_after: Mapping[str, int]
    is_wanted: Callable[[Any], bool] = lambda row: True

    def newest_first(self) -> Iterator[Any]:
        """The rows of all instruments as one list."""
        return merge(*(rows() for rows in self.rows.values()), key=attrgetter("row_key"), reverse=True)

    def is_whole(self, recorded: Mapping[str, int], below: RowKey) -> bool:
        """Whether Postgres, with the reports up to these seqs, has every row below a row."""
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
