"""`python -m benchmarks.order_entry`: orders a second by one client, over HTTP and on the socket, on this machine.

We start a venue and place the same number of resting orders in each way: over HTTP with so many requests at once, on
sockets with so many requests unanswered. Both wait for Kafka's acknowledgement of each order. Prints conditions and for
each way orders a second, the gateway's CPU time per order, and how many orders a second that would be on a core of its
own: on two cores the gateway shares them with Kafka, matching, recording and this client.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import aiohttp
import msgspec
import uvloop

from app.local.venue import Venue, running_venue
from benchmarks.processes import usage_by_name
from benchmarks.readers import TEXT, StreamSocket, connect
from load.report import conditions

GATEWAY, INSTRUMENT = "gateway-0", "BTC-USD"
WARM_UP = 500


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.order_entry", description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, default=5_000)
    parser.add_argument("--at-once", type=int, default=64, help="requests that wait for their answer")
    parser.add_argument("--pipelined", type=int, default=500, help="requests on each socket that wait for their answer")
    parser.add_argument("--sockets", type=int, default=2)
    options = parser.parse_args()
    found = uvloop.run(measure(options.orders, options.at_once, options.pipelined, options.sockets))
    print(json.dumps(found, indent=2))
    return 0


async def measure(orders: int, at_once: int, pipelined: int, sockets: int) -> dict[str, Any]:
    """Both ways in one venue, after some orders that do not count."""
    with tempfile.TemporaryDirectory(prefix="matchstream-entry-") as folder:
        async with running_venue(Path(folder) / "data") as venue, aiohttp.ClientSession() as session:
            found: dict[str, Any] = {"conditions": conditions(), "orders": orders, "at_once": at_once}
            found |= {"pipelined": pipelined, "sockets": sockets}
            for name, place in (
                ("http", lambda count: _over_http(venue.url, session, count, at_once)),
                ("socket", lambda count: _on_sockets(venue.url, count, pipelined, sockets)),
            ):
                await place(WARM_UP)
                found[name] = await _timed(venue, orders, lambda place=place: place(orders))
    return found


async def _timed(venue: Venue, orders: int, place: Callable[[], Awaitable[None]]) -> dict[str, float]:
    before, began = usage_by_name(venue)[GATEWAY], monotonic()
    await place()
    seconds, spent = monotonic() - began, usage_by_name(venue)[GATEWAY].since(before)
    return {
        "orders_a_second": round(orders / seconds),
        "gateway_cpu_us_an_order": round(spent.cpu_s / orders * 1e6, 1),
        "orders_a_second_of_a_whole_core": round(orders / spent.cpu_s),
    }


async def _over_http(url: str, session: aiohttp.ClientSession, orders: int, at_once: int) -> None:
    left = iter(range(orders))

    async def one_after_the_other() -> None:
        for _ in left:
            async with session.post(f"{url}/api/v1/orders", json=_order()) as response:
                assert response.status == 201, await response.text()

    await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))


class Placing(StreamSocket):
    """One socket that keeps so many requests unanswered."""

    def __init__(self, orders: int, pipelined: int) -> None:
        super().__init__()
        self._left, self._pipelined, self._answered, self._total = orders, pipelined, 0, orders
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def subscribe(self) -> None:
        self.begun.set_result(None)

    def place(self, count: int) -> None:
        """Send so many orders, or what is left of them."""
        count = min(count, self._left)
        self._left -= count
        requests = ({"method": "place", "params": _order(), "req_id": 1} for _ in range(count))
        self.send(TEXT, *(msgspec.json.encode(request) for request in requests))

    def data_received(self, data: bytes) -> None:
        before = self._answered
        super().data_received(data)
        if self._answered == self._total:
            self.done.set_result(None)
        elif self._answered > before:
            self.place(self._answered - before)

    def take(self, payload: bytes) -> None:
        assert b'"status":201' in payload, payload
        self._answered += 1


async def _on_sockets(url: str, orders: int, pipelined: int, sockets: int) -> None:
    placing = [Placing(orders // sockets, pipelined) for _ in range(sockets)]
    await connect(url, placing)
    for one in placing:
        one.place(pipelined)
    await asyncio.gather(*(one.done for one in placing))
    for one in placing:
        one.leave()


def _order() -> dict[str, str]:
    terms = {"client_id": "bench", "instrument": INSTRUMENT, "side": "buy", "type": "limit", "price": "1.00"}
    return {**terms, "quantity": "0.0001", "client_order_id": uuid4().hex}


if __name__ == "__main__":
    sys.exit(main())
