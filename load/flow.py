"""`python -m load flow`: the flow of makers and takers, sent at a bounded rate until Ctrl-C, for people to look at."""

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from typing import Any

import aiohttp

from load.client import NotReady
from load.market_makers import MAKERS, VISITOR, Step, opening, steps

RATE = 40.0  # steps a second
MOST_RATE = 1_000.0
RETRY_S = 0.5
READY_TRIES = 60
BUST_AFTER_S = 20.0  # one trade is busted, so that there is one to see
SETTLE_EVERY_S = 45.0
FEES = {"maker": "-0.5", "taker": "5"}
MAIN = "BTC-USD"
MAX_KNOWN = 20_000


class Flow:
    """Sends steps on one socket; after a lost connection it cancels what rests and continues."""

    def __init__(self, url: str, seed: int, rate: float) -> None:
        self._url, self._seed, self._rate = url.rstrip("/"), seed, rate
        self._tag = f"{time.time_ns() // 1_000_000:x}"
        self._ids: dict[str, str] = {}
        """Client, instrument and key of an order -> its id."""
        self._numbers = count(1)
        self.sent = 0

    async def run(self) -> None:
        """Send until cancelled."""
        async with aiohttp.ClientSession() as session:
            instruments = await self._listed(session)
            await self._call(session, "PUT", f"/instruments/{MAIN}/fees", FEES)
            flow = steps(self._seed, instruments, self._tag)
            operating = asyncio.create_task(self._operate(session))
            try:
                for connection in count():
                    begun = opening(self._seed, instruments, f"{self._tag}-{connection}")
                    with suppress(aiohttp.ClientError, OSError):
                        await self._forget(session)
                        await self._follow(session, begun, flow)
                    await asyncio.sleep(RETRY_S)
            finally:
                operating.cancel()

    async def _follow(self, session: aiohttp.ClientSession, begun: list[Step], flow: Iterator[Step]) -> None:
        async with session.ws_connect(f"{self._url}/stream") as socket:
            reading = asyncio.create_task(self._read(socket))
            try:
                for step in begun:
                    await self._send(socket, step)
                    await asyncio.sleep(0.002)
                loop = asyncio.get_running_loop()
                due = loop.time()
                while not reading.done():
                    await self._send(socket, next(flow))
                    due = max(due + 1 / self._rate, loop.time() - 1)
                    await asyncio.sleep(max(0.0, due - loop.time()))
            finally:
                reading.cancel()

    async def _send(self, socket: aiohttp.ClientWebSocketResponse, step: Step) -> None:
        for order in step.places:
            name = f"{order['client_id']} {order['instrument']} {order['client_order_id']}"
            await socket.send_json({"method": "place", "params": order, "req_id": name[-64:]})
            self.sent += 1
        for key in step.cancels:
            order_id = self._ids.pop(key[-64:], None)
            if order_id is not None:
                params = {"order_id": order_id}
                await socket.send_json({"method": "cancel", "params": params, "req_id": next(self._numbers)})
                self.sent += 1

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                return
            answer = message.json()
            name = answer.get("req_id")
            if isinstance(name, str) and answer.get("status") in (200, 201):
                self._ids[name] = answer["result"]["order_id"]
                if len(self._ids) > MAX_KNOWN:
                    del self._ids[next(iter(self._ids))]

    async def _operate(self, session: aiohttp.ClientSession) -> None:
        """What an operator does: bust a trade once, and close a cycle now and then."""
        await asyncio.sleep(BUST_AFTER_S)
        trades = await self._call(session, "GET", f"/trades?instrument={MAIN}&limit=5", None)
        if trades:
            reason = {"reason": "entered at the wrong price"}
            await self._call(session, "POST", f"/trades/{trades[-1]['trade_id']}/bust", reason)
        while True:
            await self._call(session, "POST", "/settlements", None)
            await asyncio.sleep(SETTLE_EVERY_S)

    async def _listed(self, session: aiohttp.ClientSession) -> frozenset[str]:
        for _ in range(READY_TRIES):
            if found := await self._call(session, "GET", "/instruments", None):
                return frozenset(listed["instrument"] for listed in found)
            await asyncio.sleep(RETRY_S)
        raise NotReady(f"{self._url} lists no instruments: is it a gateway of a running venue?")

    async def _forget(self, session: aiohttp.ClientSession) -> None:
        """Cancel what rests of an earlier connection: its ids may be lost."""
        for client in (*MAKERS, VISITOR):
            await self._call(session, "DELETE", f"/orders?client_id={client}", None)
        self._ids.clear()

    async def _call(self, session: aiohttp.ClientSession, method: str, path: str, body: Any) -> Any:
        """The answer's body; None if the gateway refuses or does not answer."""
        try:
            async with session.request(method, f"{self._url}/api/v1{path}", json=body) as response:
                return await response.json(content_type=None) if response.ok else None
        except (aiohttp.ClientError, OSError, ValueError):
            return None


def main(given: list[str]) -> int:
    """Run the flow until Ctrl-C; returns 0, or 1 without a venue."""
    parser = argparse.ArgumentParser(
        prog="python -m load flow",
        description="Makers quote around wandering prices and takers trade with them, until Ctrl-C.",
    )
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="a gateway (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same flow")
    parser.add_argument("--rate", type=_rate, default=RATE, help="steps a second (default: %(default)g)")
    options = parser.parse_args(given)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    flow = Flow(options.url, options.seed, options.rate)
    try:
        asyncio.run(flow.run())
    except NotReady as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    print(f"sent {flow.sent:,} orders and cancels", file=sys.stderr)
    return 0


def _rate(given: str) -> float:
    rate = float(given)
    if not 0 < rate <= MOST_RATE:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most {MOST_RATE:g}")
    return rate
