"""The recovery protocol over random schedules of faults, and the bugs that these must see (exactness.md, T1)."""

from collections.abc import Iterator

import pytest

from tests.tables.bugs import REQUIRED, worlds
from tests.tables.schedules import Found, pieces, run_piece, together
from tests.tables.world import run_schedules

SCHEDULES = 20_000
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
# Every bug was seen within the first 750; a schedule costs 4 ms.
SCHEDULES_FOR_A_BUG = 3_000


@pytest.mark.beside(run_piece, pieces(FIRST_SEED, SCHEDULES))
def test_no_schedule_of_faults_changes_what_is_durable(beside: Iterator[Found]) -> None:
    """Kills, zombies, late and lost requests, compaction, real damage: the end is that of an undisturbed run."""
    kinds, met, failure = together(beside)
    rerun = "python -m tests.tables.schedules --schedules 1 --seed"

    assert failure is None, f"{rerun} {failure[0]}: {failure[1]}"
    assert not kinds
    assert all(met[what] > 100 for what in MET), met


def test_every_mistake_that_must_be_seen_has_its_bug() -> None:
    """The list of exactness.md against the bugs below."""
    assert set(REQUIRED.values()) <= set(worlds())


@pytest.mark.parametrize("bug", sorted(worlds()))
def test_the_schedules_see_a_seeded_bug(bug: str) -> None:
    """A fault test that cannot fail proves nothing."""
    for first in range(FIRST_SEED, FIRST_SEED + SCHEDULES_FOR_A_BUG, 50):
        kinds, _, _ = run_schedules(first, 50, worlds()[bug])
        if kinds:
            return
    pytest.fail(f"{bug} was not seen in {SCHEDULES_FOR_A_BUG} schedules")
