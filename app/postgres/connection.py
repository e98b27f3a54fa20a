"""Opens connections to Postgres, runs statements with a timeout, and turns psycopg2's errors into Away or Refused."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiopg
import psycopg2

from app.postgres.errors import Away, translated

CONNECT_TIMEOUT_S = 5.0
"""If connecting takes longer, we treat Postgres as unavailable."""
APPLICATION_NAME = "matchstream"


# Errors that may pass: the server is down or read-only, a lock is in the way, a disk is full (errors.py).
AWAY = (Away, TimeoutError)
_ERRORS = (psycopg2.Error, TimeoutError, OSError)


async def connect(database_url: str, **settings: str) -> aiopg.Connection:
    """Open a connection with these Postgres settings; raises Away or Refused."""
    _unwatch_next_file()
    try:
        connection = await aiopg.connect(database_url, timeout=CONNECT_TIMEOUT_S, **OPTIONS)
    except _ERRORS as error:
        raise translated(error) from error
    try:
        await configure(connection, **settings)
    except BaseException:
        await connection.close()
        raise
    return connection


async def configure(connection: aiopg.Connection, **settings: str) -> None:
    """Apply these Postgres settings to an open connection."""
    names = ", ".join(["set_config(%s, %s, false)"] * len(settings))
    await execute(connection, f"SELECT {names}", [part for item in settings.items() for part in item])


async def execute(
    connection: aiopg.Connection, statement: str, parameters: Any = None, timeout_s: float | None = None
) -> aiopg.Cursor:
    """Run one statement, or several without parameters; raises Away or Refused."""
    try:
        cursor = await connection.cursor(timeout=timeout_s)
        await cursor.execute(statement, parameters)
    except _ERRORS as error:
        raise translated(error) from error
    except asyncio.CancelledError as error:
        # aiopg raises this, too, if Postgres canceled the statement. Re-raise it only if our task was canceled.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Away("canceled the statement", "it took too long, or an operator canceled it") from error
    return cursor


class Pool:
    """A pool of at most `most` connections, opened on demand. aiopg's own pool cannot use our `connect`."""

    def __init__(self, database_url: str, most: int, **settings: str) -> None:
        self._database_url, self._settings = database_url, settings
        self._room = asyncio.Semaphore(most)
        self._idle: list[aiopg.Connection] = []

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[aiopg.Connection]:
        """A connection, a new one or one that worked last time; raises Away or Refused."""
        async with self._room:
            connection = self._idle.pop() if self._idle else await connect(self._database_url, **self._settings)
            try:
                yield connection
            except BaseException:
                await connection.close()
                raise
            if not connection.closed:
                self._idle.append(connection)

    async def discard(self) -> None:
        """Close the idle connections: their server may have gone since."""
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.close()


def _unwatch_next_file() -> None:
    """Unregister a stale watcher of the lowest free descriptor, which the next socket will get.

    After a refused connection aiopg leaves its watcher registered, and uvloop would refuse the descriptor's next user.
    """
    number, loop = os.open(os.devnull, os.O_RDONLY), asyncio.get_running_loop()
    try:
        loop.remove_reader(number)
        loop.remove_writer(number)
    finally:
        os.close(number)


# Without the enable_* options aiopg would look up types that we do not use. The keepalives detect a dead network.
OPTIONS: dict[str, Any] = {
    "enable_json": False,
    "enable_hstore": False,
    "enable_uuid": False,
    "application_name": APPLICATION_NAME,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
