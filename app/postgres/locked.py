"""Locks the history's tables for a while, as a careless migration would; for tests."""

import asyncio

from app.postgres.connection import connect, execute

TABLES = "orders, order_events, trades, sink_progress, instrument_progress"


async def lock_history(database_url: str, seconds: float) -> None:
    """Keep everyone from reading and writing the history for these seconds. Raises Away or Refused."""
    connection = await connect(database_url, lock_timeout="10s")
    try:
        await execute(connection, f"BEGIN; LOCK TABLE {TABLES} IN ACCESS EXCLUSIVE MODE")
        await asyncio.sleep(seconds)
    finally:
        await connection.close()
