"""What strikes when is a function of the seed, and every kind of fault has its turn."""

from itertools import pairwise

from load.chaos import KINDS, LONGEST_GAP_S, SHORTEST_GAP_S, schedule


def test_the_same_seed_gives_the_same_faults() -> None:
    """A soak that found something can be run again."""
    assert schedule(7, 600) == schedule(7, 600)
    assert schedule(7, 600) != schedule(8, 600)


def test_a_longer_soak_begins_like_a_shorter_one() -> None:
    """The length decides where it ends, nothing else."""
    assert schedule(7, 1_800)[: len(schedule(7, 600))] == schedule(7, 600)


def test_faults_come_one_after_the_other_and_all_kinds_come() -> None:
    """In ten hours each has been drawn."""
    planned = schedule(1, 36_000)
    gaps = [later.at_s - earlier.at_s for earlier, later in pairwise(planned)]
    assert min(gaps) > SHORTEST_GAP_S - 0.2 and max(gaps) < LONGEST_GAP_S + 0.2
    assert {strike.kind for strike in planned} == set(KINDS)
