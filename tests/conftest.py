"""The real servers for every test that needs them: Kafka, Postgres and Valkey, started once, on free ports."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from app.local import postgres
from app.local.servers import Servers, running_servers

pytest_plugins = ("tests.beside",)
OWN_FOLDER = pytest.StashKey[Path]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give this run a temporary folder of its own.

    Whenever a run begins in the folder that pytest shares between runs, others lose the right to enter it. Postgres is
    such another if we are root, and would end in the middle of a test.
    """
    if config.option.basetemp is None:
        config.option.basetemp = config.stash[OWN_FOLDER] = Path(tempfile.mkdtemp(prefix="matchstream-tests-"))


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> Iterator[None]:
    """Remove the folder once the servers are down; after a failure it stays, with their logs."""
    yield
    if exitstatus == pytest.ExitCode.OK and (folder := session.config.stash.get(OWN_FOLDER, None)):
        shutil.rmtree(folder, ignore_errors=True)


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
