"""A venue with two gateways for all tests in which a part of it is away: nothing that dies is started again."""

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import aiohttp
import pytest
from aiokafka import TopicPartition

from app.engine import partition_of
from app.kafka.groups import committed
from app.kafka.reading import bounds
from app.local.venue import Venue
from app.topics import ORDERS
from tests.integration.often import OFTEN
from tests.until import until
from tests.venues import running_venue
from tests.web.conftest import Answer, Api

PARTITIONS = 8


class Gateways(NamedTuple):
    """A venue and its two gateways; nothing that dies is started again by itself."""

    venue: Venue
    first: Api
    second: Api

    async def restart_second(self) -> None:
        """Kill the second gateway, start it again, wait until it is ready."""
        await self.venue.kill("gateway", 1)
        await self.venue.start_worker("gateway", 1)
        await self.venue.wait_ready("gateway", 1)

    async def both(self, path: str) -> Answer:
        """The answer that both give once they have applied the same reports."""
        one, _ = await until(
            lambda: asyncio.gather(self.first("GET", path), self.second("GET", path)),
            lambda both: (both[0].status, both[0].body) == (both[1].status, both[1].body),
        )
        return one


@pytest.fixture(scope="package")
async def gateways(tmp_path_factory: pytest.TempPathFactory, session: aiohttp.ClientSession) -> AsyncIterator[Gateways]:
    """Snapshots come often, so that gateways begin with them; a process that is paused keeps its place in its group."""
    workers, patient = {"matching": 1, "recording": 1, "gateway": 2}, {"BROKER_SESSION_TIMEOUT": "80"}
    folder = tmp_path_factory.mktemp("outages")
    async with running_venue(folder, workers, supervised=False, env=patient) as venue:
        await venue.stop_worker("matching")
        await venue.start_worker("matching", program=OFTEN)
        await venue.wait_ready("matching")
        yield Gateways(venue, Api(session, venue.url), Api(session, venue.web_url("gateway", 1)))


async def until_covered(venue: Venue, market: str) -> None:
    """Return once snapshots cover every command that this market's partition has: a new gateway begins with them."""
    number = partition_of(market, PARTITIONS)
    where = TopicPartition(ORDERS.name, number)
    _, end = (await bounds(venue.servers.broker, ORDERS.name, [number]))[number]
    await until(lambda: committed(venue.servers.broker, "matching"), lambda found: found.get(where, 0) >= end)
