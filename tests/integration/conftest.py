"""Whole venues: servers and workers on free ports, started once for the tests that only use them."""

import os
from collections.abc import AsyncIterator

import pytest

from app.local.venue import Venue, running_venue
from load import run

LONG = bool(os.environ.get("MATCHSTREAM_LONG"))
"""Whether tests that have a longer form run it (`make faults`)."""


@pytest.fixture(scope="session")
async def venue(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    """One process of each role, for tests that break nothing."""
    async with running_venue(tmp_path_factory.mktemp("venue")) as running:
        yield running


def addresses(venue: Venue) -> run.Venue:
    """Where an outside client finds it."""
    return run.Venue(venue.url, venue.servers.broker, venue.servers.database_url)
