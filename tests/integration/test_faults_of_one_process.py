"""One process dies, once or again and again, under load: nothing is lost, nothing is doubled."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from load.client import Client
from tests.integration.conftest import PATIENT
from tests.integration.story import (
    RECOVERY_TIMEOUT_S,
    Story,
    Strike,
    away,
    killed,
    killed_in_a_loop,
    running_story,
    strike_under_load,
    told_to_stop,
)
from tests.long import LONG
from tests.until import until

pytestmark = pytest.mark.skipif(not LONG, reason="takes minutes: in `make faults`")


async def _expiry_in_a_quiet_market(story: Story) -> None:
    """An order's time is over while its worker is dead: nothing but the new worker's tick can tell."""
    venue = story.venue
    async with Client(venue.url) as client:
        for lives_s in (2, 4, 8, 16):
            placed = await _good_till(client, time.time() + lives_s)
            if (await client.matched(placed["order_id"], RECOVERY_TIMEOUT_S))["status"] == "new":
                break
        await venue.kill("matching")
        await until(
            lambda: client.order(placed["order_id"]), lambda order: order["status"] == "expired", RECOVERY_TIMEOUT_S
        )


async def _good_till(client: Client, expire_s: float) -> dict[str, Any]:
    """An order that rests until this time, in seconds since 1970."""
    expire = datetime.fromtimestamp(expire_s, UTC).isoformat(timespec="milliseconds")
    order = {"client_id": "ann", "instrument": "MATIC-USD", "side": "buy", "type": "limit", "quantity": "0.01"}
    order |= {"price": "1.00", "time_in_force": "GTD", "expire_time": expire, "client_order_id": str(uuid4())}
    async with client.session.post(f"{client.url}/api/v1/orders", json=order) as answer:
        assert answer.status == 201, await answer.text()
        placed: dict[str, Any] = await answer.json()
        return placed


# A server that was away is not supervised any more, so that comes last.
FAULTS: dict[str, Strike] = {
    "kill -9 matching": killed("matching-0"),
    "SIGTERM gateway": told_to_stop("gateway"),
    "kill -9 recording": killed("recording-0"),
    "kill -9 gateway": killed("gateway-0"),
    "kill -9 Valkey": killed("valkey"),
    "kill -9 Postgres": killed("postgres"),
    "kill -9 matching in a loop, loading": killed_in_a_loop("matching-0", 1.7),
    "kill -9 recording in a loop": killed_in_a_loop("recording-0", 1.2),
    "expiry in a quiet market": _expiry_in_a_quiet_market,
    "Kafka away": away("kafka"),
}


@pytest.fixture(scope="module")
async def story(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Story]:
    """The venue of this file; a fault meets what the ones before it have left."""
    async with running_story(tmp_path_factory.mktemp("faults"), PATIENT) as told:
        yield told


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_under_load_loses_nothing_and_doubles_nothing(name: str, story: Story) -> None:
    """Every new order is accepted in the end, and topics, books, Postgres and answers are what the log gives."""
    await strike_under_load(story, name, FAULTS[name])
