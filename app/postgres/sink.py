"""The sink: writes runs of reports exactly once, each in a transaction with its position (docs/EXACTNESS.md, I9, I14).

The sink waits out errors that may pass (patience.py), however long they last. It raises if another process moved the
position, if the log is not the recorded one, and for all other errors; then the process ends, and the next one
continues from what is recorded.
"""

from collections.abc import Callable
from itertools import chain
from typing import NamedTuple

import aiopg

from app.postgres.agreement import Recorded, require_log_ids
from app.postgres.connection import execute
from app.postgres.errors import Refused
from app.postgres.patience import PatientConnection
from app.postgres.statements import Statement

STATEMENT_TIMEOUT_S = 60.0
SESSION = {
    "TimeZone": "UTC",
    # If our process is stopped (SIGSTOP) in the middle of a transaction, Postgres must release its locks.
    "idle_in_transaction_session_timeout": "30s",
    "lock_timeout": "20s",
    "work_mem": "32MB",
    # We look up rows by key, but before its first ANALYZE Postgres takes a table for small enough to scan.
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
READ_POSITIONS = "SELECT partition, next_offset, log_id FROM sink_progress WHERE topic = %s AND partition = ANY(%s)"
BEGIN_PARTITION = """
INSERT INTO sink_progress (topic, partition, next_offset, log_id) VALUES (%s, %s, 0, %s) ON CONFLICT DO NOTHING
"""
READ_TICKERS = "SELECT instrument, seq FROM tickers"
READ_PROGRESS = "SELECT instrument, last_seq FROM instrument_progress WHERE partition = %s"
MOVE_POSITIONS = """
WITH moved AS (
    UPDATE sink_progress SET next_offset = given.to_offset
    FROM unnest(%s::integer[], %s::bigint[], %s::bigint[]) AS given(partition, from_offset, to_offset)
    WHERE sink_progress.topic = %s AND sink_progress.partition = given.partition
        AND sink_progress.next_offset = given.from_offset
    RETURNING 1
)
SELECT require_moved(count(*), %s) FROM moved
"""
MOVED_CODE = "MS001"  # raised by require_moved
MOVE_PROGRESS = """
INSERT INTO instrument_progress (instrument, partition, last_seq, last_time)
SELECT * FROM unnest(%s::text[], %s::integer[], %s::bigint[], %s::timestamptz[])
ON CONFLICT (instrument) DO UPDATE SET last_seq = excluded.last_seq, last_time = excluded.last_time
WHERE instrument_progress.last_seq < excluded.last_seq
"""


class PositionMoved(RuntimeError):
    """Another sink has moved the position of a partition."""


class Run(NamedTuple):
    """Consecutive records of one or more partitions, and the statements that record them."""

    moves: dict[int, tuple[int, int]]
    """Partition -> the offsets [from, to) of its records."""
    statements: list[Statement]
    last_reports: dict[str, tuple[int, int, str]]
    """Instrument -> its partition, and the seq and the time of its last report."""


class Sink:
    """One connection, one transaction at a time."""

    def __init__(
        self, database_url: str, topic: str, reach: Callable[[str], None] = lambda failpoint: None, what: str = "rows"
    ) -> None:
        self.topic, self._reach, self._what = topic, reach, what
        self._connection = PatientConnection(database_url, SESSION, "recording")

    @property
    def waits_for(self) -> str | None:
        """Why recording waits for Postgres; None if it does not wait."""
        return self._connection.waits_for

    async def close(self) -> None:
        """Close the connection; Postgres rolls back a running transaction unless it already has our COMMIT."""
        await self._connection.close()

    async def begin(self, log_ids: dict[int, str]) -> dict[int, Recorded]:
        """Start the partitions whose log ids are given; returns how far each is recorded: for a new one, up to 0.

        Raises AnotherInstallation, Refused.
        """
        return await self._connection.do(lambda connection: self._begin(connection, log_ids))

    async def last_bars(self) -> dict[str, int]:
        """Instrument -> the seq of its last recorded update of bars."""

        async def read(connection: aiopg.Connection) -> dict[str, int]:
            return dict(await (await execute(connection, READ_TICKERS)).fetchall())

        return await self._connection.do(read)

    async def write(self, run: Run) -> None:
        """Record a run; when this returns, it is recorded exactly once. Raises PositionMoved, Refused."""
        tries = 0

        async def attempt(connection: aiopg.Connection) -> None:
            nonlocal tries
            tries += 1
            # If the connection was lost during COMMIT, the position tells whether the transaction was committed.
            if tries == 1 or not await self._is_written(connection, run):
                await self._transaction(connection, run)

        await self._connection.do(attempt)

    async def _begin(self, connection: aiopg.Connection, log_ids: dict[int, str]) -> dict[int, Recorded]:
        question = [self.topic, list(log_ids)]
        rows = await (await execute(connection, READ_POSITIONS, question)).fetchall()
        # Write only for new partitions, so that a restart works with a read-only Postgres.
        if new := set(log_ids) - {partition_id for partition_id, *_ in rows}:
            for partition_id in sorted(new):
                await execute(connection, BEGIN_PARTITION, [self.topic, partition_id, log_ids[partition_id]])
            rows = await (await execute(connection, READ_POSITIONS, question)).fetchall()
        recorded = {partition_id: Recorded(next_offset, log_id) for partition_id, next_offset, log_id in rows}
        require_log_ids(recorded, log_ids)
        for partition_id, found in recorded.items():
            progress = await (await execute(connection, READ_PROGRESS, [partition_id])).fetchall()
            recorded[partition_id] = found._replace(last_seqs=dict(progress))
        return recorded

    async def _is_written(self, connection: aiopg.Connection, run: Run) -> bool:
        cursor = await execute(connection, READ_POSITIONS, [self.topic, list(run.moves)])
        found = {partition_id: next_offset for partition_id, next_offset, _ in await cursor.fetchall()}
        return found == {partition_id: to_offset for partition_id, (_, to_offset) in run.moves.items()}

    async def _transaction(self, connection: aiopg.Connection, run: Run) -> None:
        """Send all statements in one message and COMMIT in another, so that Postgres works while we prepare a run."""
        texts, parameters = zip(*_moves(run, self.topic), *run.statements, strict=True)
        try:
            await execute(connection, "; ".join(["BEGIN", *texts]), list(chain(*parameters)), STATEMENT_TIMEOUT_S)
        except Refused as error:
            if error.code == MOVED_CODE:
                raise PositionMoved(
                    f"another sink records these partitions, or Postgres was restored or failed over: {error}; "
                    "a fresh process continues from what is recorded"
                ) from error
            raise
        self._reach(f"{self._what}-before-commit")
        await execute(connection, "COMMIT")
        self._reach(f"{self._what}-after-commit")


def _moves(run: Run, topic: str) -> list[Statement]:
    froms, tos = zip(*run.moves.values(), strict=True)
    moves: list[Statement] = [(MOVE_POSITIONS, [list(run.moves), list(froms), list(tos), topic, len(run.moves)])]
    if run.last_reports:
        columns = map(list, zip(*run.last_reports.values(), strict=True))
        moves.append((MOVE_PROGRESS, [list(run.last_reports), *columns]))
    return moves
