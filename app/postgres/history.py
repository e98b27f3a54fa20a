"""Reads recorded orders, trades and rejections from Postgres, in the shapes of the API (docs/API.md).

Answers are plain dicts: decimals are text with as many decimals as reported, times are RFC 3339 in UTC with
milliseconds. A query raises HistoryUnavailable when it takes too long (reading.py), and while
Postgres cannot be reached.
"""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from app.models.http import milliseconds, rfc3339
from app.postgres.agreement import Recorded
from app.postgres.cursors import RowKey
from app.postgres.reading import Reader
from app.postgres.shapes import (
    INSTRUMENT,
    ORDER,
    ORDER_EVENT,
    REJECTION,
    SNAPSHOT,
    TRADE,
    Fields,
    answer,
    select,
)

MAX_LIMIT = 1_000

# The changing columns of an order that its first report had, too.
_AT_FIRST = ("status", "reason", "price", "quantity", "filled_quantity", "remaining_quantity", "avg_price", "fees")
_FOREVER = [name for name in ORDER if name not in (*_AT_FIRST, "seq", "updated_at")]
ACCEPTED = f"""SELECT {select(ORDER, "status_now")} FROM (
    SELECT {", ".join(f"placed.{name}" for name in _FOREVER)}, {", ".join(f"first.{name}" for name in _AT_FIRST)},
        first.seq, placed.created_at AS updated_at, placed.status AS status_now
    FROM orders AS placed JOIN order_events AS first ON (first.order_id, first.seq) = (placed.order_id, accepting_seq)
    WHERE placed.order_id = %s ORDER BY accepting_seq DESC LIMIT 1
) AS accepted"""

Row = dict[str, Any]


class Page(NamedTuple):
    """Rows, newest first, and the key of the last one if more rows follow; else None."""

    rows: list[Row]
    following: RowKey | None


class Accepted(NamedTuple):
    """An order as the engine first reported it, the time of that report (ms since the epoch), and its status now."""

    order: Row
    time_ms: int
    status: str


class History:
    """Queries on the recorded history. Connects only when first used, and again after Postgres was down."""

    def __init__(self, database_url: str) -> None:
        self._reader = Reader(database_url)
        self._rows = self._reader.rows

    async def close(self) -> None:
        """Close the connections."""
        await self._reader.close()

    async def recorded_seqs(self) -> dict[str, int]:
        """Instrument -> the seq of its last recorded report. Later queries see all reports up to it."""
        return dict(await self._rows("SELECT instrument, last_seq FROM instrument_progress", []))

    async def recorded(self, topic: str) -> dict[int, Recorded]:
        """Partition of the topic -> how far it is recorded, all as of one moment."""
        query = """
            SELECT partition, next_offset, log_id, instrument, last_seq
            FROM sink_progress LEFT JOIN instrument_progress USING (partition) WHERE topic = %s
        """
        found: dict[int, Recorded] = {}
        for partition_id, next_offset, log_id, instrument, last_seq in await self._rows(query, [topic]):
            partition = found.setdefault(partition_id, Recorded(next_offset, log_id, {}))
            if instrument is not None:
                partition.last_seqs[instrument] = last_seq
        return found

    async def order(self, order_id: str) -> Row | None:
        """The order with this id; the latest one if its key was used again."""
        if not _is_id(order_id):
            return None
        query = f"SELECT {select(ORDER)} FROM orders WHERE order_id = %s ORDER BY accepting_seq DESC LIMIT 1"
        rows = await self._rows(query, [order_id])
        return answer(ORDER, rows[0]) if rows else None

    async def accepted(self, order_id: str) -> Accepted | None:
        """The latest order with this id, as its first report had it."""
        rows = await self._rows(ACCEPTED, [order_id])
        if not rows:
            return None
        order = answer(ORDER, rows[0])
        return Accepted(order, milliseconds(datetime.fromisoformat(order["created_at"])) or 0, rows[0][-1])

    async def recorded_seq(self, instrument: str) -> int:
        """The seq of the instrument's last report in Postgres; 0 if it has none."""
        rows = await self._rows("SELECT last_seq FROM instrument_progress WHERE instrument = %s", [instrument])
        return rows[0][0] if rows else 0

    async def order_events(self, order_id: str, after_seq: int = 0, limit: int = MAX_LIMIT) -> list[Row]:
        """The changes of an order after this seq, oldest first; of the latest order if its key was used again."""
        if not _is_id(order_id):
            return []
        latest = "SELECT max(accepting_seq) FROM orders WHERE order_id = %s"
        query = f"""SELECT {select(ORDER_EVENT)} FROM order_events
            WHERE order_id = %s AND seq > %s AND seq >= ({latest}) ORDER BY seq LIMIT %s"""
        rows = await self._rows(query, [order_id, after_seq, order_id, _limit(limit)])
        return [answer(ORDER_EVENT, row) for row in rows]

    async def orders(
        self,
        *,
        client_id: str | None = None,
        instrument: str | None = None,
        status: str | None = None,
        below: RowKey | None = None,
        skip: int = 0,
        limit: int = 10,
    ) -> Page:
        """Orders, newest first: at most `limit` of those below the row `below`, after skipping `skip`."""
        conditions = {"client_id": client_id, "instrument": instrument, "status": status}
        given = {column: value for column, value in conditions.items() if value is not None}
        # Within one instrument seq is the order of acceptance, and the primary key has it.
        by_seq = instrument is not None and client_id is None
        newest = _Newest("orders", ORDER, "created_at", "accepting_seq", by_seq)
        return await self._page(newest, given, below, skip, _limit(limit))

    async def trades(
        self, *, instrument: str | None = None, below: RowKey | None = None, skip: int = 0, limit: int = 50
    ) -> Page:
        """Trades, newest first; the arguments are like those of `orders`."""
        given = {} if instrument is None else {"instrument": instrument}
        newest = _Newest("trades", TRADE, "executed_at", "seq", instrument is not None)
        return await self._page(newest, given, below, skip, _limit(limit))

    async def activity(self, instrument: str, after_seq: int, to_seq: int) -> tuple[int, int]:
        """How many orders and how many trades the reports after `after_seq` up to `to_seq` have."""
        query = """SELECT
            (SELECT count(*) FROM orders WHERE instrument = %s AND accepting_seq > %s AND accepting_seq <= %s),
            (SELECT count(*) FROM trades WHERE instrument = %s AND report_seq > %s AND report_seq <= %s)"""
        rows = await self._rows(query, [instrument, after_seq, to_seq] * 2)
        return rows[0][0], rows[0][1]

    async def rejection(self, order_id: str) -> Row | None:
        """The latest rejection of a place command, before any market, that would have made this order id."""
        if not _is_id(order_id):
            return None
        query = f"SELECT {select(REJECTION)} FROM rejections WHERE order_id = %s ORDER BY time DESC, seq DESC LIMIT 1"
        rows = await self._rows(query, [order_id])
        return answer(REJECTION, rows[0]) if rows else None

    async def instruments(self) -> list[Row]:
        """The rules of each instrument from its last `list` command, with market_status, seq, updated_at; by name."""
        rows = await self._rows(f"SELECT {select(INSTRUMENT)} FROM instruments ORDER BY instrument", [])
        answers = [answer(INSTRUMENT, row) for row in rows]
        return [{**row.pop("listing"), **row} for row in answers]

    async def snapshots(self, *, instrument: str | None = None, limit: int = 10) -> list[Row]:
        """Complete book snapshots, newest first; a level is {side, price, quantity, orders}, best first."""
        where = "complete" if instrument is None else "complete AND instrument = %s"
        query = f"SELECT {select(SNAPSHOT)} FROM book_snapshots WHERE {where} ORDER BY time DESC, seq DESC LIMIT %s"
        parameters = [instrument, _limit(limit)] if instrument is not None else [_limit(limit)]
        return [answer(SNAPSHOT, row) for row in await self._rows(query, parameters)]

    async def _page(self, newest: "_Newest", given: Row, below: RowKey | None, skip: int, limit: int) -> Page:
        query, parameters = newest.query(given, below, limit + 1, skip)
        rows = await self._rows(query, parameters)
        answers = [answer(newest.fields, row) for row in rows[:limit]]
        if len(rows) <= limit:
            return Page(answers, None)
        last = answers[-1]
        time_ms = milliseconds(datetime.fromisoformat(last[newest.time])) or 0
        return Page(answers, RowKey(time_ms, last["instrument"], rows[limit - 1][-1]))


class _Newest(NamedTuple):
    """A table read newest first: by time, and for equal times by instrument and seq."""

    table: str
    fields: Fields
    time: str
    seq: str
    by_seq: bool

    def query(self, given: Row, below: RowKey | None, limit: int, skip: int) -> tuple[str, list[Any]]:
        """The SELECT and its parameters; its last column is the row's seq."""
        key = (self.seq,) if self.by_seq else (self.time, "instrument", self.seq)
        conditions, parameters = [f"{column} = %s" for column in given], list(given.values())
        if below is not None:
            conditions.append(f"({', '.join(key)}) < ({', '.join(['%s'] * len(key))})")
            parameters += [below.seq] if self.by_seq else [rfc3339(below.time_ms), below.instrument, below.seq]
        where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
        order = ", ".join(f"{column} DESC" for column in key)
        query = f"SELECT {select(self.fields, self.seq)} FROM {self.table} {where}ORDER BY {order} LIMIT %s OFFSET %s"
        return query, [*parameters, limit, skip]


def _limit(wanted: int) -> int:
    return min(max(wanted, 1), MAX_LIMIT)


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
