"""Streams recorded rows out of Postgres as CSV text, as of one moment and in bounded memory (app/export.py)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import psycopg2

from app.postgres.errors import translated
from app.postgres.shapes import rfc3339_text

CONNECT_TIMEOUT_S = 10
Kind = Literal["text", "integer", "decimal", "amount", "boolean", "time"]
"""A decimal is a price, a quantity or a fee; an amount is a price times a quantity, and may have more decimals."""
REPORTS = "SELECT instrument, last_seq FROM instrument_progress ORDER BY instrument"
BARS = "SELECT instrument, seq FROM tickers ORDER BY instrument"
REMOVED = "SELECT instrument, to_seq FROM removed_history JOIN cycle_ranges USING (cycle, instrument)"


class Exported(NamedTuple):
    """A kind of rows: its columns with their kinds, its view, and the seq by which a range is chosen."""

    columns: dict[str, Kind]
    source: str
    seq: str
    order: str
    recorded: str = REPORTS
    """The query for the seq up to which each instrument is recorded."""
    removed: str | None = None
    """The query for the seq up to which retention has removed rows of an instrument; None if it removes none."""


class Span(NamedTuple):
    """The rows to export: of one instrument or of all (None), with a seq in this range, both ends included."""

    instrument: str | None = None
    from_seq: int | None = None
    to_seq: int | None = None


class BeyondRecorded(ValueError):
    """The range ends before it begins, or after the last recorded report: the same export would have more later."""


class UnknownInstrument(ValueError):
    """Postgres has no report of this instrument."""


def _columns(text: str) -> dict[str, Kind]:
    """`name:kind` words as columns; the kind is text if it is left out."""
    kinds: dict[str, Kind] = {"": "text", "i": "integer", "d": "decimal", "a": "amount", "b": "boolean", "t": "time"}
    return {name: kinds[kind] for name, _, kind in (word.partition(":") for word in text.split())}


EXPORTS = {
    "trades": Exported(
        _columns(
            "instrument seq:i trade_id report_seq:i price:d quantity:d buy_order_id sell_order_id buy_client_id "
            "sell_client_id aggressor_side executed_at:t buyer_fee:d seller_fee:d bust_seq:i busted_at:t bust_reason"
        ),
        "market.trades",
        "report_seq",
        "instrument, seq",
    ),
    "orders": Exported(
        _columns(
            "instrument accepting_seq:i seq:i order_id client_id client_order_id side type time_in_force price:d "
            "stop_price:d quantity:d filled_quantity:d remaining_quantity:d avg_price:d display_quantity:d status "
            "reason triggered:b post_only:b self_trade_prevention expire_time:t created_at:t updated_at:t fees:d"
        ),
        "market.orders",
        "accepting_seq",
        "instrument, accepting_seq",
        removed=REMOVED,
    ),
    "candles": Exported(
        _columns(
            "instrument interval open_time:t close_time:t open:d high:d low:d close:d volume:d quote_volume:a trades:i "
            "taker_buy_volume:d taker_buy_quote_volume:a first_trade_seq:i last_trade_seq:i seq:i closed:b revision:i"
        ),
        "market.candles",
        "seq",
        "instrument, interval, open_time",
        BARS,
    ),
}
"""What can be exported, by name."""


class Export:
    """One export, all of it as of one moment."""

    def __init__(self, connection: Any, what: Exported, span: Span) -> None:
        self._connection, self._what, self._span = connection, what, span
        self.ranges = self._ranges()
        """Instrument -> the first and the last seq that the export covers."""
        self.removed = self._removed()
        """Instrument -> the seq up to which retention has removed rows, where that concerns the range."""

    def count(self) -> int:
        """How many rows it has."""
        where, parameters = self._where()
        return int(self._rows(f"SELECT count(*) FROM {self._what.source} {where}", parameters)[0][0])

    def copy(self, write: Callable[[bytes], object]) -> None:
        """Pass each row to `write` as a line of CSV; the order of the lines depends on the rows only."""
        select = ", ".join(_as_text(name, kind) for name, kind in self._what.columns.items())
        where, parameters = self._where()
        query = f"SELECT {select} FROM {self._what.source} {where} ORDER BY {self._what.order}"
        with self._connection.cursor() as cursor:
            bound = cursor.mogrify(query, parameters).decode()
            cursor.copy_expert(f"COPY ({bound}) TO STDOUT (FORMAT csv)", _Sink(write))

    def _ranges(self) -> dict[str, tuple[int, int]]:
        instrument, from_seq, to_seq = self._span
        recorded = dict(self._rows(self._what.recorded, []))
        if instrument is None:
            return {name: (1, last) for name, last in recorded.items() if not name.startswith("_")}
        if instrument not in recorded:
            raise UnknownInstrument(f"nothing of {instrument} is recorded: check the name in GET /api/v1/instruments")
        last = recorded[instrument]
        if to_seq is not None and to_seq > last:
            raise BeyondRecorded(f"{instrument} is recorded up to seq {last}, so a range cannot end at {to_seq}")
        first, end = from_seq or 1, last if to_seq is None else to_seq
        if first > end:
            raise BeyondRecorded(f"the range begins at seq {first} and ends at {end}: give an earlier --from-seq")
        return {instrument: (first, end)}

    def _removed(self) -> dict[str, int]:
        found = self._rows(self._what.removed, []) if self._what.removed else []
        return {name: to_seq for name, to_seq in found if name in self.ranges and self.ranges[name][0] <= to_seq}

    def _where(self) -> tuple[str, list[Any]]:
        if self._span.instrument is None:
            return "", []
        first, last = self.ranges[self._span.instrument]
        return f"WHERE instrument = %s AND {self._what.seq} BETWEEN %s AND %s", [self._span.instrument, first, last]

    def _rows(self, query: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(query, parameters)
            return list(cursor.fetchall())


@contextmanager
def exporting(database_url: str, what: Exported, span: Span) -> Iterator[Export]:
    """Begin an export. Raises Away or Refused, also in the block; BeyondRecorded, UnknownInstrument."""
    try:
        connection = psycopg2.connect(database_url, connect_timeout=CONNECT_TIMEOUT_S)
        try:
            connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
            yield Export(connection, what, span)
        finally:
            connection.close()
    except psycopg2.Error as error:
        raise translated(error) from error


class _Sink:
    """What psycopg2 writes to: Postgres sends each row by itself."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self.write = write


def _as_text(name: str, kind: Kind) -> str:
    if kind == "time":
        return rfc3339_text(name)
    return f"{name}::text" if kind == "boolean" else name  # true and false; COPY alone would write t and f
