"""The real servers for every test that needs them: Kafka, Postgres and Valkey, started once, on free ports."""

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from app.local import postgres
from app.local.servers import Servers, running_servers


@pytest.fixture(scope="session")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """Kafka, Postgres and Valkey; addresses in `.broker`, `.database_url`, `.redis_url` and `.env`."""
    async with running_servers(tmp_path_factory.mktemp("servers")) as running:
        yield running


@pytest.fixture
def database_url(servers: Servers) -> Iterator[str]:
    """An empty database of the test's own."""
    name = f"test_{uuid4().hex[:12]}"
    postgres.create_database(servers.postgres_port, name)
    yield postgres.url(servers.postgres_port, name)
    postgres.drop_database(servers.postgres_port, name)


@pytest.fixture
def topic_prefix() -> str:
    """A beginning for topic and group names that no other test has."""
    return f"test-{uuid4().hex[:12]}-"
