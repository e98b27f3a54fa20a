"""A wire between a client and Postgres that can be cut at a COMMIT: nobody then knows what became of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum

from psycopg2.extensions import make_dsn, parse_dsn

COMMIT = b"COMMIT"
HOST = "127.0.0.1"


class Cut(Enum):
    """Where the wire is cut: on the COMMIT's way there, or on its answer's way back."""

    BEFORE = "before"
    AFTER = "after"


class Wire:
    """Carries bytes both ways on each connection; `cut_at` asks for one cut at the next COMMIT."""

    def __init__(self, host: str, port: int) -> None:
        self._server = host, port
        self._doomed = False
        self.cut_at: Cut | None = None
        self.cuts = 0

    async def carry(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        """One connection until either side ends it, or a cut does."""
        server_in, server_out = await asyncio.open_connection(*self._server)
        both = [self._to_server(client_in, server_out), self._to_client(server_in, client_out)]
        ways = [asyncio.create_task(way) for way in both]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        self._doomed = False
        for writer in (client_out, server_out):
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _to_server(self, client: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        while data := await client.read(65536):
            if COMMIT in data and self.cut_at:
                self._doomed, self.cuts = True, self.cuts + 1
                cut, self.cut_at = self.cut_at, None
                if cut is Cut.BEFORE:
                    return
            server.write(data)
            await server.drain()

    async def _to_client(self, server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        while data := await server.read(65536):
            if self._doomed:  # Postgres has answered: it is committed
                return
            client.write(data)
            await client.drain()


@asynccontextmanager
async def wire(database_url: str) -> AsyncIterator[tuple[Wire, str]]:
    """A wire to this database, and the address of its other end."""
    parts = parse_dsn(database_url)
    carried = Wire(parts["host"], int(parts["port"]))
    server = await asyncio.start_server(carried.carry, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield carried, make_dsn(database_url, host=HOST, port=port)
    finally:
        server.close()
        await server.wait_closed()
