"""One venue and one browser for all tests of the page."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from app.local.venue import Venue
from tests.page.browser import CHROMIUM, DRIVER, MISSING, Page, start
from tests.venues import running_venue
from tests.web.conftest import Api


@pytest.fixture(scope="package")
async def venue(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    """One process of each role, started again when a test kills it."""
    if CHROMIUM is None or DRIVER is None:
        pytest.skip(MISSING)
    async with running_venue(tmp_path_factory.mktemp("page")) as running:
        yield running


@pytest.fixture(scope="package")
async def api(venue: Venue) -> AsyncIterator[Api]:
    """The gateway without the page."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        yield Api(session, venue.url)


@pytest.fixture(scope="package")
async def browser(venue: Venue) -> AsyncIterator[Page]:
    started = await asyncio.to_thread(start)
    yield started
    await asyncio.to_thread(started.driver.quit)


@pytest.fixture
async def page(browser: Page) -> AsyncIterator[Page]:
    """The browser; what a test leaves in its console is an error."""
    await browser.errors()
    yield browser
    assert await browser.errors() == []
