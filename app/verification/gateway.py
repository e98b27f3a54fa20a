"""Reads the books that a gateway shows, through its public API."""

import asyncio
from typing import Any

import aiohttp
import msgspec

from app.models.answers import Book
from app.verification.books import MOST_LEVELS

TIMEOUT_S = 10.0
AT_ONCE = 16


async def gateway_books(url: str, api_key: str | None = None) -> dict[str, Book]:
    """Every book of the gateway at this base URL.

    Raises aiohttp's errors, TimeoutError, and msgspec.ValidationError if an answer is not a book.
    """
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    timeout, connector = aiohttp.ClientTimeout(total=TIMEOUT_S), aiohttp.TCPConnector(limit=AT_ONCE)
    base = f"{url.rstrip('/')}/"
    async with aiohttp.ClientSession(base, timeout=timeout, connector=connector, headers=headers) as session:
        listed = await _get(session, "api/v1/instruments")
        names = [market["instrument"] for market in listed]
        return dict(zip(names, await asyncio.gather(*(_book(session, name) for name in names)), strict=True))


async def _book(session: aiohttp.ClientSession, instrument: str) -> Book:
    answer = await _get(session, "api/v1/orderbook", instrument=instrument, levels=str(MOST_LEVELS))
    return msgspec.convert(answer, Book)


async def _get(session: aiohttp.ClientSession, path: str, **query: str) -> Any:
    async with session.get(path, params=query) as response:
        response.raise_for_status()
        return await response.json()
