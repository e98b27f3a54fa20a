"""How long requests wait for records to share them: in proportion to the rate, and not at all in a quiet venue."""

import pytest

from app.pace import FULL_RATE, LATE_RATE, WINDOW_S, Pace

MOST_S = 0.006


def paced(rate: float, seconds: float = 2.0, requests: int = 100) -> Pace:
    """A pace after requests that together carried so many records a second."""
    pace = Pace(MOST_S)
    for number in range(requests + 1):
        pace.note(round(rate * seconds / requests), 1_000.0 + number * seconds / requests)
    return pace


def test_the_pause_grows_with_the_rate_up_to_its_limit() -> None:
    pauses = [paced(rate).pause_s for rate in (0, FULL_RATE / 10, FULL_RATE / 2, FULL_RATE, 20 * FULL_RATE)]
    assert pauses == pytest.approx([0, MOST_S / 10, MOST_S / 2, MOST_S, MOST_S], rel=0.2)


def test_where_nobody_waits_a_low_rate_makes_the_whole_pause() -> None:
    pace = Pace(MOST_S, LATE_RATE)
    pace.note(0, 1_000.0)
    pace.note(round(LATE_RATE), 1_001.0)
    assert pace.pause_s == MOST_S


def test_the_first_records_after_a_quiet_time_do_not_wait() -> None:
    """Neither those of a new process nor those after a load that has ended."""
    pace = Pace(MOST_S)
    pace.note(100, 1_000.0)
    assert pace.pause_s == 0
    pace = paced(20 * FULL_RATE)
    pace.note(1, 1_000.0 + 3_600)
    assert pace.pause_s < MOST_S / 1_000


def test_the_pause_begins_with_each_request() -> None:
    """And a request that comes after it waits for nothing."""
    pace = Pace(MOST_S, LATE_RATE)
    assert pace.wait_s(1_000.0) == 0
    pace.note(0, 1_000.0)
    pace.note(round(LATE_RATE), 1_001.0)
    assert pace.wait_s(1_001.0) == pytest.approx(MOST_S)
    assert pace.wait_s(1_001.0 + MOST_S / 2) == pytest.approx(MOST_S / 2)
    assert pace.wait_s(1_002.0) == 0


def test_one_large_request_counts_once_its_window_is_over() -> None:
    pace = Pace(MOST_S)
    pace.note(0, 1_000.0)
    pace.note(round(FULL_RATE), 1_000.0 + WINDOW_S / 2)
    assert pace.pause_s == 0
    pace.note(0, 1_000.0 + 2)
    assert pace.pause_s == pytest.approx(MOST_S / 2)
