"""The history locked for a while, as a careless migration would do it: for whoever tests what happens then."""

import asyncio

from app.postgres.connection import connect, execute

TABLES = "orders, order_events, trades, sink_progress, instrument_progress"


async def lock_history(database_url: str, seconds: float) -> None:
    """Nobody can read or write it until these seconds are over. Raises Away or Refused."""
    connection = await connect(database_url, lock_timeout="10s")
    try:
        await execute(connection, f"BEGIN; LOCK TABLE {TABLES} IN ACCESS EXCLUSIVE MODE")
        await asyncio.sleep(seconds)
    finally:
        await connection.close()
