"""A database of a test's own with our schema; apart from databases.py, because Alembic is slow to import."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.local.servers import Servers
from app.postgres.schema import migrate
from tests.databases import empty_database


@asynccontextmanager
async def migrated_database(servers: Servers, name: str) -> AsyncIterator[str]:
    """Its URL; it is dropped at the end."""
    with empty_database(servers, name) as url:
        await asyncio.to_thread(migrate, url)
        yield url
