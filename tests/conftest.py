"""The real servers for every test that needs them, and how the tests are shared out between processes.

`make test` runs two processes of pytest (`-n 2 --dist loadfile`). The files that use one venue, or `servers` (Kafka,
Postgres and Valkey, on free ports), stay together in one process, so that it is started once. It is stopped when the
last of them is done: a venue costs a tenth of a core when nobody uses it.
"""

import faulthandler
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from app.local.servers import Servers, running_servers
from tests import warm
from tests.databases import empty_database

OWN_FOLDER = pytest.StashKey[Path]()
ROOT = Path(__file__).parent
USE_VENUE = "changed_port end_of_day cli large_records one_trade poison lobster_in_a_venue assignment_cases"
USE_SERVERS = (
    "app/test_export app/test_genesis clearing kafka local/test_servers postgres streaming "
    "verification/test_checker_and_clearing web/entry web/market"
)
TOGETHER: dict[str, tuple[str, ...]] = {
    "venue": tuple(f"integration/test_{name}.py" for name in USE_VENUE.split()),
    "traded": ("integration/test_verified_fields.py", "integration/test_verify.py"),
    "web": ("web/test_", "web/test_schemathesis.py"),
    "outages": ("web/outages/",),
    "servers": tuple(USE_SERVERS.split()),
}
"""The files that stay in one process, by what they share, in their order: last come those that make long logs."""
ALONE = "tables/test_schedules.py"
"""Its tests take seconds each and share nothing, so they fill both processes up to the end."""
LONGEST_END_S = 600.0
"""A run whose end takes longer shows where it hangs, and ends: nobody would learn it from a run that is cut off."""
ORDER = (*TOGETHER, "integration/", "local/", "page/", "")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give this run a temporary folder of its own.

    Whenever a run begins in the folder that pytest shares between runs, others lose the right to enter it. Postgres is
    such another if we are root, and would end in the middle of a test.
    """
    if config.option.basetemp is None:
        config.option.basetemp = config.stash[OWN_FOLDER] = Path(tempfile.mkdtemp(prefix="matchstream-tests-"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest; the order within a file stays."""
    items.sort(key=lambda item: place_of(str(item.path.relative_to(ROOT))))
    for item in items:
        file, fixtures = str(item.path.relative_to(ROOT)), getattr(item, "fixturenames", ())
        for shared in ("servers", "traded"):
            if shared in fixtures and group_of(file) != shared:
                raise pytest.UsageError(f"tests/{file} uses {shared}: add it to those in tests/conftest.py that do.")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Have pytest-xdist keep groups together, not only files."""
    return Groups(config, log)


class Groups(LoadScopeScheduling):
    """A group's tests go to one process; the next group goes to the process that is ready for one first."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0].removeprefix(f"{ROOT.name}/")
        return nodeid if file == ALONE else group_of(file)


def group_of(file: str) -> str:
    """What stays in one process with this file."""
    return next((group for group, begins in TOGETHER.items() if file.startswith(begins)), file)


def place_of(file: str) -> tuple[int, int]:
    """When the file's turn is, among all groups and in its own."""
    group = group_of(file)
    in_group = max((n for n, begin in enumerate(TOGETHER.get(group, ())) if file.startswith(begin)), default=0)
    in_all = next(place for place, begin in enumerate(ORDER) if group.startswith(begin))
    return len(ORDER) if file == ALONE else in_all, in_group


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> Iterator[None]:
    """Remove the folder once the servers are down; after a failure it stays, with their logs."""
    faulthandler.dump_traceback_later(LONGEST_END_S, exit=True, file=sys.__stderr__)
    yield
    warm.stop()
    faulthandler.cancel_dump_traceback_later()
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
    with empty_database(servers, f"test_{uuid4().hex[:12]}") as url:
        yield url


@pytest.fixture
def topic_prefix() -> str:
    """A beginning for topic and group names that no other test has."""
    return f"test-{uuid4().hex[:12]}-"
