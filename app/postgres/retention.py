"""Retention: removes the recorded history of orders up to the cutoffs of a settled cycle.

Trades, busts and all of clearing stay: statements, positions and later busts need them. We mark history
before we remove it, so `verify` does not miss it, even if the removal is interrupted.
"""

from typing import Any

import aiopg

from app.postgres.connection import connect, execute

KEPT_H = 48
"""Hours of the log that always stay: for 24 hours a gateway may ask for the order of a used key."""
STATEMENT_TIMEOUT_S = 3_600.0
REMOVABLE = ("order_events", "orders", "rejections", "book_snapshots")
OPEN_ORDERS = "status IN ('new', 'partially_filled')"
READ_CYCLE = """
SELECT state, closed_at > (SELECT max(last_time) FROM instrument_progress) - %(kept_h)s * interval '1 hour'
FROM cycles WHERE cycle = %(cycle)s
"""
MARK = """
INSERT INTO removed_history (instrument, cycle)
SELECT DISTINCT ON (instrument) instrument, cycle FROM cycle_ranges WHERE cycle <= %(cycle)s
ORDER BY instrument, cycle DESC
ON CONFLICT (instrument) DO UPDATE SET cycle = excluded.cycle WHERE removed_history.cycle < excluded.cycle
"""
_CUTOFFS = """(
    SELECT instrument, max(to_seq) AS to_seq FROM cycle_ranges WHERE cycle <= %(cycle)s GROUP BY instrument
) AS cutoffs WHERE old.instrument = cutoffs.instrument AND seq <= to_seq"""


class CannotRemove(ValueError):
    """The history of this cycle must stay; the message says why."""


async def remove_history(
    database_url: str, cycle: int, is_dry_run: bool = False, kept_h: int = KEPT_H
) -> dict[str, int]:
    """Table -> how many rows were removed, or would be. Needs the owner of the tables.

    Raises CannotRemove, Away and Refused.
    """
    connection = await connect(database_url, lock_timeout="20s", statement_timeout="0")
    try:
        await _require_settled(connection, cycle, kept_h)
        if not is_dry_run:
            await execute(connection, MARK, {"cycle": cycle})
        return {table: await _rows(connection, table, cycle, is_dry_run) for table in REMOVABLE}
    finally:
        await connection.close()


async def _require_settled(connection: aiopg.Connection, cycle: int, kept_h: int) -> None:
    given = {"cycle": cycle, "kept_h": kept_h}
    found: list[tuple[Any, ...]] = await (await execute(connection, READ_CYCLE, given)).fetchall()
    if not found:
        raise CannotRemove(f"there is no cycle {cycle}")
    ((state, is_young),) = found
    if state != "settled":
        raise CannotRemove(f"cycle {cycle} is {state}: only the history before a settled cycle can be removed")
    if is_young:
        raise CannotRemove(f"cycle {cycle} was closed in the last {kept_h} hours: take an older one")


async def _rows(connection: aiopg.Connection, table: str, cycle: int, is_dry_run: bool) -> int:
    where = _CUTOFFS + (f" AND NOT {OPEN_ORDERS}" if table == "orders" else "")
    if is_dry_run:
        query = f"SELECT count(*) FROM {table} AS old, {where}"
        return int((await (await execute(connection, query, {"cycle": cycle}, STATEMENT_TIMEOUT_S)).fetchall())[0][0])
    query = f"DELETE FROM {table} AS old USING {where}"
    return int((await execute(connection, query, {"cycle": cycle}, STATEMENT_TIMEOUT_S)).rowcount)
