"""Several processes die at once under load: nothing is lost, nothing is doubled."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from load import request
from load.client import Client
from load.request import Kind, Terms
from tests.integration.conftest import PATIENT
from tests.integration.story import (
    Story,
    Strike,
    killed,
    running_story,
    strike_under_load,
)
from tests.long import LONG


async def _one_key_on_two_gateways(story: Story) -> None:
    """The same request a hundred times at once, half of them to another gateway: one order."""
    venue = story.venue
    await venue.start_worker("gateway", 1)
    await venue.wait_ready("gateway", 1)
    asked = request.place(Kind.LIMIT, Terms("ann", "BNB-USD", "buy", "limit", "0.01", "1.00"), str(uuid4()))
    async with Client(venue.url, story.ledger) as one, Client(venue.web_url("gateway", 1), story.ledger) as other:
        answers = await asyncio.gather(*(client.send(asked) for client in 50 * (one, other)))
    await venue.stop_worker("gateway", 1)
    assert {answer.status for answer in answers} == {201}
    assert len({answer.json()["order_id"] for answer in answers}) == 1


# In `make test` too.
SHORT: dict[str, Strike] = {
    "kill -9 all workers": killed("matching-0", "recording-0", "gateway-0"),
    "kill -9 Kafka": killed("kafka"),
}
LONGER: dict[str, Strike] = {
    "kill -9 matching and recording": killed("matching-0", "recording-0"),
    "kill -9 matching and gateway": killed("matching-0", "gateway-0"),
    "kill -9 recording and gateway": killed("recording-0", "gateway-0"),
    "kill -9 matching and Kafka": killed("matching-0", "kafka"),
    "kill -9 recording and Postgres": killed("recording-0", "postgres"),
    "kill -9 everything": killed("matching-0", "recording-0", "gateway-0", "kafka", "postgres", "valkey"),
    "one key on two gateways": _one_key_on_two_gateways,
}
FAULTS = SHORT | (LONGER if LONG else {})


@pytest.fixture(scope="module")
async def story(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Story]:
    """The venue of this file; a fault meets what the ones before it have left."""
    async with running_story(tmp_path_factory.mktemp("faults"), PATIENT) as told:
        yield told


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_under_load_loses_nothing_and_doubles_nothing(name: str, story: Story) -> None:
    """Every new order is accepted in the end, and topics, books, Postgres and answers are what the log gives."""
    await strike_under_load(story, name, FAULTS[name])
