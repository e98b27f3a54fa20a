"""Reads the entries of a cycle in the order of statements: each entry once, for both of its lines."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiopg

from app.postgres.connection import execute
from app.postgres.netting import AS_USUAL, BY_INDEX, RANGE_ENTRIES, RANGES

AT_ONCE = 1_000  # what the socket holds: Postgres can finish it while the worker digests the rows before
FETCH = f"FETCH {AT_ONCE} FROM entries"

Line = tuple[str, str]
"""A client and a line of its statement."""


async def entry_lines(connection: aiopg.Connection, cycle: int, timeout_s: float) -> AsyncIterator[Iterator[Line]]:
    """The lines of all entries of a cycle, some at a time; call it in a transaction."""
    ranges = await (await execute(connection, RANGES, {"cycle": cycle}, timeout_s)).fetchall()
    await execute(connection, BY_INDEX)
    for instrument, after, to in ranges:
        where = {"instrument": instrument, "after": after, "to": to}
        await execute(connection, f"DECLARE entries CURSOR FOR {RANGE_ENTRIES}", where, timeout_s)
        fetching = asyncio.create_task(_fetch(connection, timeout_s))
        try:
            while rows := await fetching:
                # Postgres prepares the next rows while the caller works with these.
                fetching = asyncio.create_task(_fetch(connection, timeout_s))
                await asyncio.sleep(0)
                yield _lines(rows)
        finally:
            fetching.cancel()
        await execute(connection, "CLOSE entries", None, timeout_s)
    await execute(connection, AS_USUAL)


async def _fetch(connection: aiopg.Connection, timeout_s: float) -> list[tuple[Any, ...]]:
    return await (await execute(connection, FETCH, None, timeout_s)).fetchall()


def _lines(rows: list[tuple[Any, ...]]) -> Iterator[Line]:
    for buyer, seller, entry, terms, buyer_fee, seller_fee, time in rows:
        yield buyer, f"{entry},buy,{terms},{buyer_fee},{time},,"
        yield seller, f"{entry},sell,{terms},{seller_fee},{time},,"
