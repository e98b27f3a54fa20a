"""The recovery protocol over random schedules of faults, and the bugs that these must see.

Each commit has schedules of its own, so that over time more of them are run; `make faults` runs ten times as many.
"""

import subprocess
from pathlib import Path

import pytest

from tests.long import LONG
from tests.tables.bugs import CHECKPOINT_BUGS, REQUIRED, BarsWorld, worlds
from tests.tables.world.bars import Bars
from tests.tables.world.schedule import run_schedules

PIECES = 20 if LONG else 2
SCHEDULES = 1_000  # of a piece
FIRST_SEED = 1
MET = (
    "manifests",
    "id blocks",
    "tombstones",
    "a late manifest",
    "stopped by real damage",
    "expired by a tick",
    "expired in a quiet market",
    "a repeat",
    "a key used again after its window",
)
BARS_MET = (
    "manifests",
    "id blocks",
    "tombstones",
    "a late manifest",
    "stopped by real damage",
    "trades that wait",
    "a closed bar restated",
)
# Every bug was seen within the first 40; a schedule costs 8 ms.
SCHEDULES_FOR_A_BUG, AT_ONCE = 3_000, 10


def seed_of_the_commit() -> int:
    """From the hash of the commit; 1 where there is no repository."""
    command = ["git", "rev-parse", "HEAD"]
    found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return int(found.stdout[:8], 16) if found.returncode == 0 else FIRST_SEED


@pytest.mark.parametrize("piece", range(PIECES))
def test_no_schedule_of_faults_changes_what_is_durable(piece: int) -> None:
    """Kills, zombies, late and lost requests, compaction, real damage: the end is that of an undisturbed run."""
    kinds, met, failure = run_schedules(seed_of_the_commit() + piece * SCHEDULES, SCHEDULES)
    rerun = "python -m tests.tables.schedules --schedules 1 --seed"

    assert failure is None, f"{rerun} {failure[0]}: {failure[1]}"
    assert not kinds
    assert all(met[what] for what in MET), met


@pytest.mark.parametrize("piece", range(max(1, PIECES // 4)))
def test_no_schedule_changes_the_candles_table(piece: int) -> None:
    """The second table on the protocol: reports in, updates of bars out, trades in blocks."""
    kinds, met, failure = run_schedules(seed_of_the_commit() + piece * SCHEDULES, SCHEDULES, BarsWorld)

    assert failure is None, f"BarsWorld {failure[0]}: {failure[1]}"
    assert not kinds
    assert all(met[what] for what in BARS_MET), met


# The others are mistakes with books.
BARS_BUGS = (*(bug.__name__ for bug in CHECKPOINT_BUGS), "EndAskedOnce", "NoFailStop", "AcknowledgesOutOfOrder")


@pytest.mark.parametrize("bug", BARS_BUGS)
def test_the_schedules_of_the_candles_table_see_a_seeded_bug(bug: str) -> None:
    """The same mistakes as in the books table."""
    world = type(bug, (worlds()[bug],), {"table": Bars()})
    for first in range(FIRST_SEED, FIRST_SEED + SCHEDULES_FOR_A_BUG, AT_ONCE):
        kinds, _, _ = run_schedules(first, AT_ONCE, world)
        if kinds:
            return
    pytest.fail(f"{bug} was not seen in {SCHEDULES_FOR_A_BUG} schedules")


def test_every_mistake_that_must_be_seen_has_its_bug() -> None:
    """The list of docs/EXACTNESS.md against the bugs below."""
    assert set(REQUIRED.values()) <= set(worlds())


@pytest.mark.parametrize("bug", sorted(worlds()))
def test_the_schedules_see_a_seeded_bug(bug: str) -> None:
    """A fault test that cannot fail proves nothing."""
    for first in range(FIRST_SEED, FIRST_SEED + SCHEDULES_FOR_A_BUG, AT_ONCE):
        kinds, _, _ = run_schedules(first, AT_ONCE, worlds()[bug])
        if kinds:
            return
    pytest.fail(f"{bug} was not seen in {SCHEDULES_FOR_A_BUG} schedules")
