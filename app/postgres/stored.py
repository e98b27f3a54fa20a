"""Reads the recorded data as of one moment, in one transaction, so that `verify` can compare them with the log."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import aiopg

from app.postgres.agreement import Recorded
from app.postgres.connection import connect, execute
from app.postgres.entries import Line, entry_lines
from app.postgres.errors import Away, Refused
from app.postgres.retention import OPEN_ORDERS, REMOVABLE
from app.postgres.rows import time_text
from app.topics import CANDLES, CLEARING, EXECUTIONS

RECORDED = (EXECUTIONS.name, CLEARING.name, CANDLES.name)
"""The topics of which Postgres has positions."""

STATEMENT_TIMEOUT_S = 600.0
POSITIONS_TIMEOUT = "5s"
SESSION = {
    "TimeZone": "UTC",
    # We look up some thousands of rows by key: make Postgres use the index.
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
KEY_TYPES = {
    "instrument": "text",
    "order_id": "uuid",
    "seq": "bigint",
    "first_seq": "bigint",
    "accepting_seq": "bigint",
    "trade_seq": "bigint",
    "interval": "text",
    "open_time": "timestamptz",
}
# Column type -> the SQL with which we read it, so that values compare with reports; other types need none.
CASTS = {
    "numeric": "t.{}::text",
    "uuid": "t.{}::text",
    # Not as an int: a time must equal the log's milliseconds exactly, but a cast would round it.
    "timestamp with time zone": "trim_scale(extract(epoch FROM t.{}) * 1000)",
}

READ_REMOVED = "SELECT instrument, cycle, to_seq FROM removed_history LEFT JOIN cycle_ranges USING (cycle, instrument)"

Row = dict[str, Any]


class Removed(NamedTuple):
    """The history of a market's orders up to `to_seq` may be absent: its cutoff in a cycle, None if that has none."""

    cycle: int
    to_seq: int | None


class Stored:
    """The recorded data as of one moment: the sink's position and log id of each partition, rows, and counts.

    `projections` are the positions in the topic of clearing, `bars` those in the topic of bars; `strange_topics` are
    all other topics with a position.

    `removed`: instrument -> what of its orders' history was removed (retention.py).
    """

    def __init__(
        self,
        connection: aiopg.Connection,
        positions: dict[int, int],
        log_ids: dict[int, str],
        strange: Sequence[str],
        projections: dict[int, Recorded],
        bars: dict[int, Recorded],
        removed: dict[str, Removed],
    ) -> None:
        self._connection, self.projections, self.bars, self.removed = connection, projections, bars, removed
        self.positions, self.log_ids, self.strange_topics = positions, log_ids, strange
        self._columns: dict[str, dict[str, str]] = {}

    @classmethod
    async def open(cls, database_url: str) -> "Stored":
        """Begin a transaction in which all reads see the data as they are now. Raises Away or Refused."""
        connection = await connect(database_url, **SESSION)
        await execute(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        query = "SELECT topic, partition, next_offset, log_id FROM sink_progress"
        found = await (await execute(connection, query)).fetchall()
        of_topic: dict[str, dict[int, Recorded]] = {name: {} for name in RECORDED}
        for topic, partition_id, next_offset, log_id in found:
            of_topic.setdefault(topic, {})[partition_id] = Recorded(next_offset, log_id)
        ours, projections, bars = (of_topic[name] for name in RECORDED)
        positions = {partition_id: recorded.next_offset for partition_id, recorded in ours.items()}
        log_ids = {partition_id: recorded.log_id for partition_id, recorded in ours.items()}
        removed = {row[0]: Removed(*row[1:]) for row in await (await execute(connection, READ_REMOVED)).fetchall()}
        return cls(connection, positions, log_ids, sorted(of_topic.keys() - {*RECORDED}), projections, bars, removed)

    async def close(self) -> None:
        """End the transaction."""
        await self._connection.close()

    async def rows(self, table: str, key_columns: Sequence[str], keys: Sequence[tuple[Any, ...]]) -> list[Row]:
        """The rows with these keys: decimals and ids as text, times in ms."""
        if not keys:
            return []
        names = ", ".join(f"k_{name}" for name in key_columns)
        arrays = ", ".join(f"%s::{KEY_TYPES[name]}[]" for name in key_columns)
        same = " AND ".join(f"t.{name} = k_{name}" for name in key_columns)
        columns = await self._columns_of(table)
        query = f"SELECT {', '.join(columns.values())} FROM unnest({arrays}) AS given({names}) JOIN {table} t ON {same}"
        columns_of_keys = zip(key_columns, zip(*keys, strict=True), strict=True)
        parameters = [
            [time_text(key) if KEY_TYPES[name] == "timestamptz" else key for key in column]
            for name, column in columns_of_keys
        ]
        cursor = await execute(self._connection, query, parameters, STATEMENT_TIMEOUT_S)
        return [dict(zip(columns, row, strict=True)) for row in await cursor.fetchall()]

    async def counts(self, table: str) -> Mapping[str, int]:
        """Instrument -> its number of rows, without those that `removed` allows to be absent."""
        kept = ""
        if table in REMOVABLE:
            is_open = f"OR {OPEN_ORDERS}" if table == "orders" else ""
            kept = f"LEFT JOIN ({READ_REMOVED}) AS removed USING (instrument) WHERE seq > coalesce(to_seq, 0) {is_open}"
        query = f"SELECT instrument, count(*) FROM {table} {kept} GROUP BY instrument"
        return dict(await (await execute(self._connection, query, None, STATEMENT_TIMEOUT_S)).fetchall())

    async def cycles(self) -> list[Row]:
        """All cycles of clearing, in the form that `rows` returns."""
        return await self._where("cycles", "true", [])

    async def of_cycle(self, table: str, cycle: int) -> list[Row]:
        """The rows of one cycle."""
        return await self._where(table, "t.cycle = %s", [cycle])

    def entry_lines(self, cycle: int) -> AsyncIterator[Iterator[Line]]:
        """The lines of a cycle's entries, each with its client, in the order of the statements; some at a time."""
        return entry_lines(self._connection, cycle, STATEMENT_TIMEOUT_S)

    async def _where(self, table: str, condition: str, parameters: list[Any]) -> list[Row]:
        columns = await self._columns_of(table)
        query = f"SELECT {', '.join(columns.values())} FROM {table} t WHERE {condition}"
        cursor = await execute(self._connection, query, parameters, STATEMENT_TIMEOUT_S)
        return [dict(zip(columns, row, strict=True)) for row in await cursor.fetchall()]

    async def _columns_of(self, table: str) -> dict[str, str]:
        """Each column, and the SQL that reads it."""
        if table not in self._columns:
            query = "SELECT column_name, data_type FROM information_schema.columns "
            query += "WHERE table_schema = current_schema() AND table_name = %s"
            found = await (await execute(self._connection, query, [table])).fetchall()
            self._columns[table] = {name: CASTS.get(type_, "t.{}").format(name) for name, type_ in found}
        return self._columns[table]


async def recorded_positions(database_url: str, topic: str) -> dict[int, int] | None:
    """Partition -> the sink's next offset; None while Postgres cannot be reached."""
    try:
        connection = await connect(database_url, statement_timeout=POSITIONS_TIMEOUT)
    except Away:
        return None
    try:
        query = "SELECT partition, next_offset FROM sink_progress WHERE topic = %s"
        return dict(await (await execute(connection, query, [topic])).fetchall())
    except (Away, Refused):
        return None
    finally:
        await connection.close()
