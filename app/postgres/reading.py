"""Reads from Postgres within a bounded time: the rows of a query, or HistoryUnavailable."""

import asyncio
from typing import Any

from app.postgres.connection import AWAY, Pool, execute
from app.postgres.errors import Away, Refused

ANSWER_TIMEOUT_S = 2.0
# Longer than the answer may take: it only ends statements on the server whose callers have given up.
EXTRA_TIMEOUT_S = 1.0
MAX_CONNECTIONS = 8


class HistoryUnavailable(RuntimeError):
    """Postgres cannot be reached or took too long, so the answer is unknown."""


class Reader:
    """Connections that only read. Connects when first used, and again after Postgres was down."""

    def __init__(self, database_url: str, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._pool = Pool(
            database_url,
            MAX_CONNECTIONS,
            statement_timeout=str(int((timeout_s + EXTRA_TIMEOUT_S) * 1000)),
            default_transaction_read_only="on",
            TimeZone="UTC",
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.discard()

    async def rows(self, query: str, parameters: Any) -> list[tuple[Any, ...]]:
        """The rows of a query. Raises HistoryUnavailable, and Refused for a mistake of ours."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._ask(query, parameters)
        except (*AWAY, Refused) as error:
            if isinstance(error, Refused) and error.cure is None:
                raise  # a mistake of ours
            await self._pool.discard()
            raise HistoryUnavailable(str(error) or "Postgres did not answer in time") from error

    async def _ask(self, query: str, parameters: Any) -> list[tuple[Any, ...]]:
        # The server of a pooled connection may have gone since: then retry once, with a new connection.
        for _ in range(2):
            async with self._pool.connection() as connection:
                try:
                    return await (await execute(connection, query, parameters, self._timeout_s)).fetchall()
                except AWAY:
                    if not connection.closed:
                        raise
            await self._pool.discard()
        raise Away("is away", "the connection was lost")
