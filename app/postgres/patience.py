"""A connection for work that must be done: it waits out errors that may pass (errors.py), however long they last."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import aiopg

from app.postgres.connection import connect
from app.postgres.errors import Away

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0

_log = logging.getLogger(__name__)
T = TypeVar("T")


class PatientConnection:
    """One connection, opened again whenever it is lost. `work` is what waits meanwhile, for the log: "recording"."""

    def __init__(self, database_url: str, session: Mapping[str, str], work: str) -> None:
        self._database_url, self._session, self._work = database_url, session, work
        self._connection: aiopg.Connection | None = None
        self._waits_for: Away | None = None

    @property
    def waits_for(self) -> str | None:
        """Why the work waits for Postgres; None if it does not wait."""
        return None if self._waits_for is None else str(self._waits_for)

    async def close(self) -> None:
        """Close the connection; Postgres rolls back a running transaction unless it already has our COMMIT."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def do(self, action: Callable[[aiopg.Connection], Awaitable[T]]) -> T:
        """Run the action; after an Away, run it again on a new connection until it succeeds. Raises Refused."""
        pause = FIRST_PAUSE_S
        while True:
            try:
                if self._connection is None:
                    self._connection = await connect(self._database_url, **self._session)
                result = await action(self._connection)
            except Away as error:
                self._wait_for(error)
                await self.close()
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_S)
            else:
                if self._waits_for is not None:
                    self._waits_for = None
                    _log.warning("Postgres is back, %s continues", self._work)
                return result

    def _wait_for(self, error: Away) -> None:
        """Log why the work waits, once for each new reason."""
        if self._waits_for is None or self._waits_for.state != error.state:
            _log.warning("Postgres %s, %s waits until it can: %s", error.state, self._work, error.text)
        self._waits_for = error
