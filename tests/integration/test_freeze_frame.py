"""Everything killed at once at any time: the logs alone hold what a start relies on, and a start is exact (O9, T2)."""

import asyncio
from random import Random

import pytest

from app.local.venue import Venue
from app.verification.running import Addresses, verify
from load.ledger import Ledger
from tables.books.verification import changelog_states
from tests.integration.conftest import judge, under_load
from tests.long import LONG

pytestmark = pytest.mark.skipif(not LONG, reason="takes two minutes: in `make faults`")

FRAMES = 3
RATE = 150
SHORTEST_S, LONGEST_S = 3.0, 7.0


async def test_the_logs_are_right_whenever_everything_dies(unsupervised: Venue) -> None:
    """No worker runs while the logs are read: nothing can have been mended."""
    venue, random, ledger = unsupervised, Random(9), Ledger()
    where = Addresses(venue.servers.broker, venue.servers.database_url)
    for number in range(FRAMES):
        async with under_load(venue, ledger, RATE, seed=number, tag=f"frame{number}"):
            await asyncio.sleep(random.uniform(SHORTEST_S, LONGEST_S))
            await venue.kill_all()
        await venue.start_servers()
        frame = await verify(where, states=changelog_states(where.broker), naive=True)
        print(f"frame {number + 1}, {len(ledger):,} requests so far\n{frame.as_text()}")
        assert frame.is_right, frame.as_text()
        await asyncio.gather(*(venue.start_worker(worker.role) for worker in venue.workers))
        await venue.wait_all_ready()
    await judge(venue, ledger)
