"""Connections: how one is opened, what bounds each statement, and where psycopg2's errors become ours."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiopg
import psycopg2

from app.postgres.errors import Away, translated

CONNECT_TIMEOUT_S = 5.0
# An answer that is not there by then is an outage for whoever waits.
APPLICATION_NAME = "matchstream"


# What waiting may cure: no server, one that is read-only, a lock in the way, a disk that is full (errors.py).
AWAY = (Away, TimeoutError)
_ERRORS = (psycopg2.Error, TimeoutError, OSError)


async def connect(database_url: str, **settings: str) -> aiopg.Connection:
    """A connection whose session has these Postgres settings; raises Away or Refused."""
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
    """Give an open connection these Postgres settings."""
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
        # aiopg raises this for a statement that Postgres canceled; a task that was canceled is told apart.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Away("canceled the statement", "its time was over, or an operator canceled it") from error
    return cursor


class Pool:
    """At most so many connections, opened when needed and kept; aiopg's own cannot open them as `connect` does."""

    def __init__(self, database_url: str, most: int, **settings: str) -> None:
        self._database_url, self._settings = database_url, settings
        self._room = asyncio.Semaphore(most)
        self._idle: list[aiopg.Connection] = []

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[aiopg.Connection]:
        """A connection that works as far as is known; raises Away or Refused."""
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
        """Close the connections that nobody uses: they may be to a server that has gone since."""
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.close()


def _unwatch_next_file() -> None:
    """Let the event loop forget the number that the next socket gets.

    When a connection is refused, aiopg lets the socket's watch stand, and uvloop would refuse the number's next user.
    """
    number, loop = os.open(os.devnull, os.O_RDONLY), asyncio.get_running_loop()
    try:
        loop.remove_reader(number)
        loop.remove_writer(number)
    finally:
        os.close(number)


# aiopg would look up types that we do not use; a dead network is noticed by the kernel.
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
