"""`python -m benchmarks.order_entry`: orders a second by one client, over HTTP and on the socket, on this machine.

We start a venue and place the same number of resting orders in each way: over HTTP with so many requests at once, on
one socket with so many requests unanswered. Both wait for Kafka's acknowledgement of each order. Prints conditions and
for each way orders a second, and the gateway's CPU time per order.
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

from app.local.venue import Venue, running_venue
from benchmarks.processes import usage_by_name
from load.report import conditions

GATEWAY, INSTRUMENT = "gateway-0", "BTC-USD"
WARM_UP = 500


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.order_entry", description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, default=5_000)
    parser.add_argument("--at-once", type=int, default=64, help="requests that wait for their answer")
    options = parser.parse_args()
    print(json.dumps(asyncio.run(measure(options.orders, options.at_once)), indent=2))
    return 0


async def measure(orders: int, at_once: int) -> dict[str, Any]:
    """Both ways in one venue, after some orders that do not count."""
    with tempfile.TemporaryDirectory(prefix="matchstream-entry-") as folder:
        async with running_venue(Path(folder) / "data") as venue, aiohttp.ClientSession() as session:
            found: dict[str, Any] = {"conditions": conditions(), "orders": orders, "at_once": at_once}
            for name, place in (("http", _over_http), ("socket", _on_socket)):
                await place(venue.url, session, WARM_UP, at_once)
                found[name] = await _timed(
                    venue, orders, lambda place=place: place(venue.url, session, orders, at_once)
                )
    return found


async def _timed(venue: Venue, orders: int, place: Callable[[], Awaitable[None]]) -> dict[str, float]:
    before, began = usage_by_name(venue)[GATEWAY], monotonic()
    await place()
    seconds, spent = monotonic() - began, usage_by_name(venue)[GATEWAY].since(before)
    return {"orders_a_second": round(orders / seconds), "gateway_cpu_us_an_order": round(spent.cpu_s / orders * 1e6, 1)}


async def _over_http(url: str, session: aiohttp.ClientSession, orders: int, at_once: int) -> None:
    left = iter(range(orders))

    async def one_after_the_other() -> None:
        for _ in left:
            async with session.post(f"{url}/api/v1/orders", json=_order()) as response:
                assert response.status == 201, await response.text()

    await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))


async def _on_socket(url: str, session: aiohttp.ClientSession, orders: int, at_once: int) -> None:
    room = asyncio.Semaphore(at_once)
    async with session.ws_connect(f"{url}/stream") as socket:

        async def send() -> None:
            for number in range(orders):
                await room.acquire()
                await socket.send_json({"method": "place", "params": _order(), "req_id": number})

        sending = asyncio.create_task(send())
        for _ in range(orders):
            answer = await socket.receive_json()
            assert answer.get("status") == 201, answer
            room.release()
        await sending


def _order() -> dict[str, str]:
    terms = {"client_id": "bench", "instrument": INSTRUMENT, "side": "buy", "type": "limit", "price": "1.00"}
    return {**terms, "quantity": "0.0001", "client_order_id": uuid4().hex}


if __name__ == "__main__":
    sys.exit(main())
