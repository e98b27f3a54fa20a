"""Workers killed at each step of the protocol, on real Kafka and Postgres, the disk kept and wiped (T2)."""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from random import Random
from typing import NamedTuple

import pytest

from app.kafka.groups import members
from app.local.process import Process
from app.local.venue import FAUST, Venue
from app.streaming import failpoints
from load.figures import compare_figures
from load.ledger import Ledger
from tests.integration.conftest import PATIENT, addresses, judge, under_load
from tests.integration.often import OFTEN
from tests.long import LONG
from tests.until import UNTIL_S, until
from tests.venues import running_venue

RATE = 40
DEATH_TIMEOUT_S = 240.0  # one role waits for what the others do between their deaths
# What is with the producer needs a moment to be on its way.
LATER = {
    "sent-executions": ":2",
    "sent-matchstream-books-changelog": ":2",
    "sent-candles": ":2",
    "sent-matchstream-candles-changelog": ":2",
    "sent-not-acked": ":2",
}


class Death(NamedTuple):
    """Where a worker kills itself, the how manyth time it comes there, and whether its disk is lost then."""

    role: str
    name: str
    nth: str = "1"
    is_wiped: bool = False


SHORT_RUN = [
    Death("matching", "sent-executions", "2", is_wiped=True),
    Death("matching", "after-snapshots"),
    Death("matching", "after-manifest", "2", is_wiped=True),
    Death("gateway", "acked-before-response", "2"),
    Death("recording", "rows-after-commit", "2"),
    Death("recording", "bars-before-commit", "2"),
    Death("recording", "bars-after-commit", "2"),
    Death("analytics", "sent-candles", "2", is_wiped=True),
    Death("analytics", "after-outputs"),
    Death("analytics", "after-snapshots", is_wiped=True),
    Death("analytics", "after-manifest", "2"),
]
# What is reached only so often in a life.
AT_MOST = {"in-revoke": 1, "graceful-stop": 1, "loading": 4, "loaded": 8}
MOST = 12


def _deaths(role: str, name: str) -> list[Death]:
    """The first time with either disk, and a later time with one of them, by chance but the same in each run."""
    random, most = Random(name), AT_MOST.get(name, MOST)
    first = [Death(role, name, "1", is_wiped) for is_wiped in (False, True)]
    later = [Death(role, name, str(random.randint(2, most)), random.random() < 0.5)] if most > 1 else []
    return first + later


NAMES = {
    "matching": failpoints.MATCHING,
    "gateway": failpoints.GATEWAY,
    "recording": failpoints.RECORDING | failpoints.RECORDING_BARS,
    "analytics": failpoints.ANALYTICS,
}
LONG_RUN = [death for role, names in NAMES.items() for name in names for death in _deaths(role, name)]


@pytest.fixture
async def venues(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[Venue]]:
    """Venues in which nobody starts again what dies; in the long run two, because each mostly waits."""
    async with AsyncExitStack() as stack:
        folders = [tmp_path_factory.mktemp("failpoints") for _ in range(2 if LONG else 1)]
        yield [
            await stack.enter_async_context(running_venue(folder, supervised=False, env=PATIENT)) for folder in folders
        ]


async def test_a_kill_at_any_step_changes_nothing(venues: list[Venue]) -> None:
    """Orders flow all the time; at the end topics, books, Postgres and answers are what the log gives."""
    deaths = LONG_RUN if LONG else SHORT_RUN
    # Whichever venue is ready for it takes the next death of a role.
    left = {role: iter([death for death in deaths if death.role == role]) for role in NAMES}
    async with asyncio.TaskGroup() as tasks:
        for venue in venues:
            tasks.create_task(_die_under_load(venue, left))
    print(f"{len(deaths)} forced deaths")


async def _die_under_load(venue: Venue, deaths: Mapping[str, Iterator[Death]]) -> None:
    """The deaths of all roles; they die independently of each other."""
    ledger = Ledger()
    async with under_load(venue, ledger, RATE, seed=7, tag="failpoints"), asyncio.TaskGroup() as roles:
        for role in NAMES:
            roles.create_task(_die_in_turn(venue, role, deaths[role]))
    verdict = await judge(venue, ledger)
    print(f"{len(ledger):,} requests\n{verdict.as_text()}")
    found = await compare_figures(addresses(venue), UNTIL_S)
    assert found.differing == [] and min(found.bars, found.averages) > 0


async def _die_in_turn(venue: Venue, role: str, deaths: Iterator[Death]) -> None:
    """Deaths of one role until none is left, then a life that stays."""
    await venue.kill(role)
    for death in deaths:
        await _die(venue, death)
    await venue.start_worker(role)
    await venue.wait_ready(role)


async def _die(venue: Venue, death: Death) -> None:
    """Start the worker, and wait until it has killed itself where it was told to."""
    failpoint = f"{death.name}:{death.nth}{LATER.get(death.name, '')}"
    program = OFTEN if death.role in ("matching", "analytics") else FAUST
    process = await venue.start_worker(death.role, env={"FAILPOINT": failpoint}, program=program)
    async with asyncio.timeout(DEATH_TIMEOUT_S):
        if death.name == "graceful-stop":
            await venue.wait_ready(death.role)
            process.send(signal.SIGTERM)
        other = await _rival(venue, death.role) if death.name == "in-revoke" else None
        code = await process.wait()
    if other is not None:
        await other.kill()
        await until(lambda: members(venue.servers.broker, death.role), lambda found: not found)
    assert code == -signal.SIGKILL, f"{failpoint} was never reached: exit code {code}, see {process.log}"
    if death.is_wiped:
        shutil.rmtree(venue.folder / "workers" / f"{death.role}-0")


async def _rival(venue: Venue, role: str) -> Process:
    """A second worker of the role, for which the first has to give up partitions."""
    await venue.wait_ready(role)
    return await venue.start_worker(role, slot=1)
