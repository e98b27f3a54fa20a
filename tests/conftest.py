"""The real servers for every test that needs them, and how the tests are shared out between processes.

`make test` runs two processes of pytest (`-n 2 --dist loadfile`). A file's tests stay together; `servers` (Kafka,
Postgres and Valkey, on free ports) and the venues that files share are started once in each process that needs them.
"""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest

from app.local import postgres
from app.local.servers import Servers, running_servers
from tests import warm

OWN_FOLDER = pytest.StashKey[Path]()
ROOT = Path(__file__).parent
# What takes longest begins first, so that no process is left alone with it at the end.
LONGEST = ("integration/test_f", "web", "page", "integration", "local", "tables")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give this run a temporary folder of its own.

    Whenever a run begins in the folder that pytest shares between runs, others lose the right to enter it. Postgres is
    such another if we are root, and would end in the middle of a test.
    """
    if config.option.basetemp is None:
        config.option.basetemp = config.stash[OWN_FOLDER] = Path(tempfile.mkdtemp(prefix="matchstream-tests-"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest; the order within a file stays."""
    items.sort(key=lambda item: place_of(str(item.path.relative_to(ROOT))))


def place_of(file: str) -> int:
    """When the file's turn is: 0 is first."""
    return next((place for place, name in enumerate(LONGEST) if file.startswith(name)), len(LONGEST))


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> Iterator[None]:
    """Remove the folder once the servers are down; after a failure it stays, with their logs."""
    yield
    warm.stop()
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
    connection = psycopg2.connect(servers.database_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
    connection.close()


@pytest.fixture
def topic_prefix() -> str:
    """A beginning for topic and group names that no other test has."""
    return f"test-{uuid4().hex[:12]}-"
