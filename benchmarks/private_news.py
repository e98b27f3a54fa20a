"""`python -m benchmarks.private_news URL`: how soon the client of an order is told of it on its private stream.

We place resting orders over HTTP at a steady rate and wait for each on the channel `orders` of a connection. Prints the
times from the request to the message, in milliseconds, as JSON.
"""

import argparse
import asyncio
import json
import sys
from time import monotonic
from uuid import uuid4

import aiohttp
import msgspec

from load.latency import Latency

INSTRUMENT, CLIENT = "BTC-USD", "prober"
RATE = 20  # orders a second
PATIENCE_S = 10.0

_decode = msgspec.json.Decoder().decode


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.private_news", description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--seconds", type=int, default=20)
    options = parser.parse_args()
    print(json.dumps(asyncio.run(measure(options.url, options.seconds)).as_json()))
    return 0


async def measure(url: str, seconds: int) -> Latency:
    """Place orders for so long, and wait for the message about each."""
    sent: dict[str, float] = {}
    found = Latency()
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/stream") as socket:
        params = {"channel": "orders", "instrument": INSTRUMENT, "client_id": CLIENT}
        await socket.send_json({"method": "subscribe", "params": params, "req_id": 1})
        await socket.receive_json()
        placing = asyncio.create_task(_place(session, url, seconds, sent))
        while not placing.done() or sent:
            message = _decode(await socket.receive_str(timeout=PATIENCE_S))
            for order in message.get("data", ()):
                began = sent.pop(order.get("client_order_id"), None)
                if began is not None:
                    found.add_ns(int((monotonic() - began) * 1e9))
        await placing
    return found


async def _place(session: aiohttp.ClientSession, url: str, seconds: int, sent: dict[str, float]) -> None:
    terms = {"client_id": CLIENT, "instrument": INSTRUMENT, "side": "buy", "type": "limit", "price": "1.00"}
    posting = []
    for _ in range(seconds * RATE):
        key = uuid4().hex
        sent[key] = monotonic()
        body = {**terms, "quantity": "0.0001", "client_order_id": key}
        posting.append(asyncio.create_task(_post(session, url, body)))
        await asyncio.sleep(1 / RATE)
    await asyncio.gather(*posting)


async def _post(session: aiohttp.ClientSession, url: str, body: dict[str, str]) -> None:
    async with session.post(f"{url}/api/v1/orders", json=body) as response:
        assert response.status == 201, await response.text()


if __name__ == "__main__":
    sys.exit(main())
