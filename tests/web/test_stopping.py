"""A gateway that is told to stop: it says so, takes nothing new, finishes what it has, and ends."""

import asyncio
import time
from uuid import uuid4

import aiohttp

from app.local.venue import Venue
from tests.web.conftest import INSTRUMENT, Api

SLOT = 4
DRAIN_S = 5.0


async def test_a_stopping_gateway_takes_no_new_orders_and_answers_all_else(
    venue: Venue, session: aiohttp.ClientSession
) -> None:
    """503 with Connection: close for orders and cancels; what was accepted before is found, and ends well."""
    process = await venue.start_worker("gateway", SLOT, {"DRAIN_S": str(DRAIN_S)})
    await venue.wait_ready("gateway", SLOT)
    api = Api(session, venue.web_url("gateway", SLOT))
    before = await api.place(path="/orders")
    began = time.monotonic()
    stopping = asyncio.create_task(venue.stop_worker("gateway", SLOT))
    health = await _until_not_ready(api)
    key = str(uuid4())
    refused = [await api.place(key), await api("DELETE", f"/orders/{before.body['order_id']}")]
    found = await api("GET", f"/orders/{before.body['order_id']}")
    book = await api("GET", f"/orderbook?instrument={INSTRUMENT}")
    await stopping

    assert health == (503, "stopping")
    for answer in refused:
        assert (answer.status, answer.body["code"]) == (503, "not_ready")
        assert (answer.headers["Connection"], answer.headers["Retry-After"]) == ("close", "1")
    assert (before.status, found.status, book.status) == (201, 200, 200)
    assert time.monotonic() - began >= DRAIN_S
    assert process.exit_code == 0
    # The refused order was not sent: elsewhere its key is new.
    elsewhere = await Api(session, venue.url).place(key, path="/orders")
    assert elsewhere.status == 201 and "Idempotent-Replayed" not in elsewhere.headers


async def _until_not_ready(api: Api) -> tuple[int, str]:
    """What /readyz says once it is not 200."""
    while True:
        async with api.session.get(f"{api.url}/readyz") as response:
            if response.status != 200:
                return response.status, (await response.json())["gateway"]
        await asyncio.sleep(0.02)
