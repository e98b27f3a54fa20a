"""The bounds of connections, on a small server of the test's own with short times."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from socket import create_connection
from types import SimpleNamespace

import aiohttp
import orjson
import pytest
from aiohttp import web, web_server

from app.configuration import Settings
from tests.until import until
from web.edge import connections
from web.edge.connections import Connection, bound_connections

MOST, SURPLUS = 5, 2
HEAD_S, REQUEST_S = 0.5, 1.5
PATIENCE_S = 30.0
LARGE = b"x" * 32 * 1024 * 1024
HELLO = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


async def hello(request: web.Request) -> web.Response:
    return web.Response(body=b"hello")


async def slow(request: web.Request) -> web.Response:
    await asyncio.sleep(1.3 * HEAD_S)
    return web.Response(body=b"at last")


async def large(request: web.Request) -> web.Response:
    return web.Response(body=LARGE)


async def socket(request: web.Request) -> web.WebSocketResponse:
    echo = web.WebSocketResponse()
    await echo.prepare(request)
    async for message in echo:
        await echo.send_str(message.data)
    return echo


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """Where the server listens."""
    monkeypatch.setattr(web_server, "RequestHandler", web_server.RequestHandler)  # to have it back afterwards
    monkeypatch.setattr(connections, "settings", Settings(max_connections=MOST))
    for name, value in (
        ("HEAD_TIMEOUT_S", HEAD_S),
        ("REQUEST_TIMEOUT_S", REQUEST_S),
        ("SWEEP_INTERVAL_S", 0.02),
        ("SURPLUS", SURPLUS),
        ("SHUTDOWN_TIMEOUT_S", 0.1),
        ("UNREAD_TIMEOUT_S", 0.8),
    ):
        monkeypatch.setattr(connections, name, value)
    web_app = web.Application()
    web_app.add_routes([web.get("/", hello), web.get("/slow", slow), web.get("/large", large), web.get("/ws", socket)])
    faust_app = SimpleNamespace(conf=SimpleNamespace(web_port=0))
    faust_web = SimpleNamespace(web_app=web_app, _runner=None, _transport_handlers={}, app=faust_app)
    bound_connections(faust_web)
    await faust_web._runner.setup()
    await faust_web._transport_handlers["tcp"]().start()
    yield faust_web._runner.addresses[0][1]
    await faust_web._runner.cleanup()
    assert not Connection.open


class Raw:
    """A client that sends what it likes, when it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answer(self) -> tuple[int, bytes, bytes]:
        """Status, headers and body."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return int(head.split()[1]), head, await self.reader.readexactly(length)

    async def is_closed(self) -> bool:
        """Whether the server ends it soon."""
        try:
            return await asyncio.wait_for(self.reader.read(1), PATIENCE_S) == b""
        except ConnectionError:
            return True

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


Connect = Callable[[], Awaitable[Raw]]


@pytest.fixture
async def connect(port: int) -> AsyncIterator[Connect]:
    """Makes clients, and takes care that they are gone afterwards."""
    clients: list[Raw] = []

    async def connected() -> Raw:
        clients.append(Raw(*await asyncio.open_connection("127.0.0.1", port)))
        return clients[-1]

    yield connected
    for client in clients:
        await client.close()


@pytest.mark.parametrize("head", [b"", b"GET / HT", HELLO[:-2]], ids=["nothing", "half a line", "no end"])
async def test_headers_that_do_not_come_are_answered_408(connect: Connect, head: bytes) -> None:
    """And the connection is closed."""
    client = await connect()
    client.writer.write(head)
    status, headers, body = await client.answer()

    assert (status, orjson.loads(body)["code"]) == (408, "request_timeout")
    assert b"application/problem+json" in headers and b"Connection: close" in headers
    assert await client.is_closed()


async def test_headers_a_byte_at_a_time_are_answered_408(connect: Connect) -> None:
    """Each byte in time is not enough: the whole head has its time."""
    client = await connect()
    answer = asyncio.create_task(client.answer())
    for byte in b"GET / HTTP/1.1\r\nHost: a-very-long-name":
        if not answer.done():
            client.writer.write(bytes([byte]))
            await asyncio.sleep(0.02)
    assert (await answer)[0] == 408


async def test_the_second_request_has_the_same_time(connect: Connect) -> None:
    """Counted from its first byte; the pause before it is not limited by this."""
    client = await connect()
    client.writer.write(HELLO)
    assert (await client.answer())[0] == 200
    await asyncio.sleep(2 * HEAD_S)
    client.writer.write(HELLO)
    assert (await client.answer())[0] == 200
    client.writer.write(HELLO[:10])
    assert (await client.answer())[0] == 408


async def test_a_slow_handler_is_no_slow_sender(connect: Connect) -> None:
    """Its request has come."""
    client = await connect()
    client.writer.write(b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n")
    assert (await client.answer())[2] == b"at last"


async def test_an_answer_that_nobody_reads_is_given_up(connect: Connect) -> None:
    """It would be kept in memory as long as the client likes."""
    client = await connect()
    client.writer.write(b"GET /large HTTP/1.1\r\nHost: test\r\n\r\n")
    await asyncio.sleep(REQUEST_S + 0.3)
    received = 0
    with suppress(ConnectionError):
        while piece := await client.reader.read(1 << 20):
            received += len(piece)
    assert received < len(LARGE)
    assert not Connection.open


async def test_a_websocket_may_stay(port: int) -> None:
    """Longer than a request may take."""
    async with aiohttp.ClientSession() as session, session.ws_connect(f"http://127.0.0.1:{port}/ws") as client:
        await asyncio.sleep(REQUEST_S + HEAD_S)
        await client.send_str("still here")
        assert await client.receive_str(timeout=PATIENCE_S) == "still here"


async def test_one_connection_too_many_is_told_so(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 and closed; far too many are cut off; with room again a new one is served."""
    monkeypatch.setattr(connections, "HEAD_TIMEOUT_S", PATIENCE_S)  # they ask one after the other
    clients = [await connect() for _ in range(MOST)]
    for client in clients:
        client.writer.write(HELLO)
        assert (await client.answer())[0] == 200
    surplus = [await connect() for _ in range(SURPLUS)]
    cut_off = await connect()

    assert await cut_off.is_closed()
    for client in surplus:
        client.writer.write(HELLO)
        status, headers, body = await client.answer()
        assert (status, orjson.loads(body)["code"]) == (503, "overloaded")
        assert b"Connection: close" in headers and b"Retry-After: 1" in headers
        assert await client.is_closed()
    await clients[0].close()
    await asyncio.sleep(0.05)
    late = await connect()
    late.writer.write(HELLO)
    assert (await late.answer())[0] == 200


async def test_a_burst_of_connections_waits_in_the_kernel(port: int, connect: Connect) -> None:
    """While the server is busy, more connect than aiohttp's 128: the kernel would let the others try again for long."""
    waiting = [create_connection(("127.0.0.1", port), timeout=PATIENCE_S) for _ in range(300)]
    for client in waiting:
        client.close()

    async def status() -> int | None:
        """What another client is answered; None if it is cut off because the others have not been seen to leave."""
        late = await connect()
        late.writer.write(HELLO)
        try:
            return (await late.answer())[0]
        except (ConnectionError, asyncio.IncompleteReadError):
            return None

    assert await until(status, lambda status: status == 200) == 200
