"""The real servers for every test that needs them, and how the tests are shared out between processes.

`make test` runs two processes of pytest (`-n 2 --dist loadgroup`). Files that share a venue stay together in one of
them, and so do the tests of every other file; `servers` (Kafka, Postgres and Valkey, on free ports) are started once in
each process that needs them.
"""

import shutil
import tempfile
from collections import defaultdict
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
SHARED = ("traded", "gateways", "venue")
"""Fixtures that start a venue for several files of a folder."""
# What takes longest begins first, so that no process is left alone with it at the end.
LONGEST = ("integration/test_f", "web", "integration", "local", "tables")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give this run a temporary folder of its own.

    Whenever a run begins in the folder that pytest shares between runs, others lose the right to enter it. Postgres is
    such another if we are root, and would end in the middle of a test.
    """
    if config.option.basetemp is None:
        config.option.basetemp = config.stash[OWN_FOLDER] = Path(tempfile.mkdtemp(prefix="matchstream-tests-"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, and keep in one process what shares a venue; a file's order stays."""
    fixtures: dict[str, set[str]] = defaultdict(set)
    for item in items:
        fixtures[file_of(item)].update(getattr(item, "fixturenames", ()))
    groups = {file: group_of(file, used) for file, used in fixtures.items()}
    for item in items:
        item.add_marker(pytest.mark.xdist_group(groups[file_of(item)]))
    items.sort(key=lambda item: place_of(file_of(item)))


def file_of(item: pytest.Item) -> str:
    """Its path below tests/."""
    return str(item.path.relative_to(ROOT))


def group_of(file: str, fixtures: set[str]) -> str:
    """The files of a folder that use the same shared venue are one group, and any other file is one by itself."""
    return next((f"{Path(file).parts[0]} {name}" for name in SHARED if name in fixtures), file)


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
