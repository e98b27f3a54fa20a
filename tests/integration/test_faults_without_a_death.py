"""A process is paused, cut off or robbed of what it had, under load: nothing is lost, nothing is doubled."""

from collections.abc import AsyncIterator
from random import Random

import pytest

from load import strikes
from tests.integration.story import Story, Strike, away, paused, running_story, strike_under_load
from tests.long import LONG

pytestmark = pytest.mark.skipif(not LONG, reason="takes minutes: in `make faults`")

LOCKED_SECONDS = 5.0
PAUSED_SECONDS = strikes.SESSION_TIMEOUT_S + 3.0  # the session is that of faust.conf.py here
# A server that was away is not supervised any more, so that comes last.
FAULTS: dict[str, Strike] = {
    "matching paused past its session": paused(PAUSED_SECONDS, "matching-0"),
    "recording paused past its session": paused(PAUSED_SECONDS, "recording-0"),
    "gateway paused": paused(LOCKED_SECONDS, "gateway-0"),
    "Kafka paused": paused(LOCKED_SECONDS, "kafka"),
    "Postgres' tables locked": lambda story: strikes.lock_tables(story.target, LOCKED_SECONDS),
    "Valkey flushed": lambda story: strikes.flush_keys(story.target),
    "matching's folder deleted": lambda story: strikes.delete_tables(story.target, "matching-0"),
    "matching's RocksDB corrupted": lambda story: strikes.corrupt_tables(story.target, "matching-0", Random(1)),
    "consumer group deleted": lambda story: strikes.delete_group(story.target, "matching-0"),
    "poison straight to the topic": lambda story: strikes.poison(story.target),
    "transactions straight to the topic": lambda story: strikes.use_transactions(story.target),
    "Postgres away": away("postgres"),
}


@pytest.fixture(scope="module")
async def story(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Story]:
    """The venue of this file; a fault meets what the ones before it have left."""
    async with running_story(tmp_path_factory.mktemp("faults")) as told:
        yield told


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_under_load_loses_nothing_and_doubles_nothing(name: str, story: Story) -> None:
    """Every new order is accepted in the end, and topics, books, Postgres and answers are what the log gives."""
    await strike_under_load(story, name, FAULTS[name])
