"""`python -m benchmarks.guards`: what API keys and rate limits cost per request, in microseconds."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from app.models.api_keys import KeyRole, encode_key, new_key
from web.access import _with_key, _with_limit
from web.edge.keyring import Keyring
from web.edge.limits import Addresses, say_limits
from web.hosting import GATEWAY

ROUNDS = 50_000
REPEATS = 5
RATE = 1e9  # a limit that no run reaches


async def handler(request: web.Request) -> web.StreamResponse:
    """A call without any guard, whose cost we subtract."""
    return RESPONSE


RESPONSE = web.Response()


async def microseconds(call: Callable[[], Awaitable[Any]]) -> float:
    """Microseconds per call, of the quickest of several runs."""
    best = float("inf")
    for _ in range(REPEATS):
        began = time.perf_counter()
        for _ in range(ROUNDS):
            await call()
        best = min(best, time.perf_counter() - began)
    return best / ROUNDS * 1e6


async def main() -> None:
    """Print a line for each guard."""
    key = new_key("ann", KeyRole.TRADER, 0, rate=RATE)
    keyring = Keyring("127.0.0.1:9092", 0.0)
    keyring._apply(key.kept.key_id.encode(), encode_key(key.kept))
    keyring.is_ready = True
    web_app = web.Application()
    web_app[GATEWAY] = SimpleNamespace(keyring=keyring)  # type: ignore[assignment]
    headers = {"Authorization": f"Bearer {key.text}"}
    request = make_mocked_request("POST", "/api/v1/orders", headers=headers, app=web_app)
    keyed, limited = _with_key(handler, KeyRole.TRADER), _with_limit(handler, Addresses(RATE))
    bare = await microseconds(lambda: handler(request))
    print(f"a key and its limit      {await microseconds(lambda: keyed(request)) - bare:5.2f} us")
    print(f"an address and its limit {await microseconds(lambda: limited(request)) - bare:5.2f} us")
    print(f"the RateLimit header     {await microseconds(lambda: say_limits(request, RESPONSE)) - bare:5.2f} us")
    await keyring._consumer.stop()


if __name__ == "__main__":
    asyncio.run(main())
