"""A small typed client of the venue: it repeats requests with an unclear outcome and records all in a ledger."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from types import TracebackType
from typing import Any, NamedTuple, Self
from uuid import uuid4

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, WSMsgType

from app.verification.ledger import Entry, Kind, Outcome, Request
from load import request
from load.backoff import Backoff
from load.ledger import Ledger, is_worth_repeating, outcome_of, over_all
from load.request import Terms

API = "/api/v1"
TIMEOUT_S = 10.0
CONNECTIONS = 256
READY_POLL_S = 0.1
MATCHED_POLL_S = 0.02


class Answer(NamedTuple):
    """The outcome of a request after all attempts; `status` is None if the last attempt got no answer."""

    request: Request
    outcome: Outcome
    status: int | None
    body: bytes
    attempts: int

    def json(self) -> Any:
        """The body; raises msgspec.DecodeError."""
        return msgspec.json.decode(self.body)


class NotReady(TimeoutError):
    """The venue did not become ready in time."""


class NotMatched(TimeoutError):
    """The engine did not report about an order in time."""


class Client:
    """One venue, by its base URL (http://host:port), as an async context manager."""

    def __init__(
        self,
        url: str,
        ledger: Ledger | None = None,
        backoff: Backoff | None = None,
        timeout_s: float = TIMEOUT_S,
        random: Random | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.ledger = Ledger() if ledger is None else ledger
        self.backoff = backoff or Backoff()
        self._random = random or Random()
        self._timeout = ClientTimeout(total=timeout_s)
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = ClientSession(connector=TCPConnector(limit=CONNECTIONS), timeout=self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()

    @property
    def session(self) -> ClientSession:
        assert self._session is not None, "use it as `async with Client(...)`"
        return self._session

    async def place(self, terms: Terms, key: str | None = None) -> Answer:
        """Place a new order, with a new key if none is given, so that repeats are safe."""
        kind = Kind.MARKET if terms.type == "market" else Kind.LIMIT
        return await self.send(request.place(kind, terms, key or str(uuid4())))

    async def cancel(self, order_id: str, key: str | None = None) -> Answer:
        return await self.send(request.cancel(order_id, key or str(uuid4())))

    async def send(self, asked: Request) -> Answer:
        """Send any request, repeat it with the same key while its outcome is unknown, and record it once."""
        due, attempt, had_unknown = time.monotonic_ns(), 0, False
        while True:
            attempt += 1
            status, body, error = await self._attempt(asked)
            if not is_worth_repeating(status) or attempt >= self.backoff.attempts:
                break
            had_unknown |= outcome_of(status) is Outcome.UNKNOWN
            await asyncio.sleep(self.backoff.pause_s(attempt, self._random))
        outcome = over_all(outcome_of(status), had_unknown)
        self.ledger.record(Entry(asked, outcome, status, attempt, due, time.monotonic_ns(), answered_id(body), error))
        return Answer(asked, outcome, status, body, attempt)

    async def get(self, path: str, **query: object) -> Any:
        """The JSON answer of a GET; raises aiohttp.ClientResponseError unless the status is 2xx."""
        params = {name: str(value) for name, value in query.items() if value is not None}
        async with self.session.get(f"{self.url}{API}{path}", params=params) as response:
            response.raise_for_status()
            return msgspec.json.decode(await response.read())

    async def order(self, order_id: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.get(f"/orders/{order_id}")
        return found

    async def matched(self, order_id: str, timeout_s: float = 30.0) -> dict[str, Any]:
        """Poll until the engine has seen the order, ignoring connection errors; raises NotMatched after `timeout_s`."""
        last: object = None
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                order = await self.order(order_id)
                if order["status"] != "pending_new":
                    return order
                last = order["status"]
            except (ClientError, TimeoutError, OSError) as error:
                last = error
            await asyncio.sleep(MATCHED_POLL_S)
        raise NotMatched(f"{order_id} has no report after {timeout_s:g} s: {last}")

    async def orders(self, **query: object) -> list[dict[str, Any]]:
        """Orders, newest first; the query can have `client_id`, `instrument`, `status`, `limit`, `page`."""
        found: list[dict[str, Any]] = await self.get("/orders", **query)
        return found

    async def trades(self, **query: object) -> list[dict[str, Any]]:
        """Trades, newest first; the query can have `instrument`, `limit`, `page`."""
        found: list[dict[str, Any]] = await self.get("/trades", **query)
        return found

    async def book(self, instrument: str, levels: int = 20) -> dict[str, Any]:
        found: dict[str, Any] = await self.get("/orderbook", instrument=instrument, levels=levels)
        return found

    async def until_ready(self, timeout_s: float = 60.0) -> None:
        """Wait until /readyz answers 200; raises NotReady after `timeout_s`."""
        last: object = None
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                async with self.session.get(f"{self.url}/readyz") as response:
                    if response.status == 200:
                        return
                    last = response.status
            except (ClientError, TimeoutError, OSError) as error:
                last = error
            await asyncio.sleep(READY_POLL_S)
        raise NotReady(f"{self.url} is not ready after {timeout_s:g} s: {last}")

    @asynccontextmanager
    async def trade_stream(self, instrument: str | None = None) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """The trades from now on, as the WebSocket sends them, until the venue closes it."""
        query = f"?instrument={instrument}" if instrument else ""
        async with self.session.ws_connect(f"{self.url}/ws/trades{query}", heartbeat=30) as socket:

            async def frames() -> AsyncIterator[dict[str, Any]]:
                async for frame in socket:
                    if frame.type is WSMsgType.TEXT:
                        yield msgspec.json.decode(frame.data)

            yield frames()

    async def _attempt(self, asked: Request) -> tuple[int | None, bytes, str | None]:
        headers = {"Content-Type": asked.content_type}
        if asked.key is not None:
            headers["Idempotency-Key"] = asked.key
        try:
            async with self.session.request(
                asked.method, f"{self.url}{asked.path}", data=asked.body, headers=headers
            ) as response:
                return response.status, await response.read(), None
        except (ClientError, TimeoutError, OSError) as error:
            return None, b"", type(error).__name__


MARK = b'"order_id"'
ID_LENGTH = 36


def answered_id(body: bytes) -> str | None:
    """The first order id in an answer, found without decoding the rest; None if it has none."""
    at = body.find(MARK)
    if at < 0:
        return None
    start = body.find(b'"', at + len(MARK) + 1) + 1
    return body[start : start + ID_LENGTH].decode("ascii", "replace") if start else None
