"""The scenarios of tests/matching/scenarios, on the book and on the naive engine, as written and mirrored."""

from typing import Any

import pytest

from app.matching.book import Book
from app.matching.events import split
from app.matching.sanity import check, check_cheap
from app.matching.words import Outcome
from app.naive.matching import NaiveEngine
from tests.matching.pair import waiting_for_fills
from tests.matching.reader import Reader
from tests.matching.scenario import LISTING, Play, Scenario, scenarios

ALL = list(scenarios())
MIRRORABLE = [scenario for scenario in ALL if not scenario.one_way]


def name_of(scenario: Scenario) -> str:
    return f"{scenario.file}: {scenario.claim}"


def run(scenario: Scenario, engine: Any, mirrored: bool) -> None:
    play, reader = Play(mirrored), Reader()
    reader.follow(engine.apply(*play.listing()))
    for line in scenario.lines:
        if line.command == "book":
            said = play.tell_depth(*reader.depth())
        else:
            report = engine.apply(*play.read(line.command))
            for part in split(report):
                reader.follow(part)
            reader.check(waiting_for_fills(engine))
            if isinstance(engine, Book):
                check(engine)
                check_cheap(engine, report)
                assert engine.depth(1_000) == reader.depth()
            if line.expected is None:
                assert report.outcome is Outcome.ACCEPTED and not report.trades, f"line {line.number}: {line.command}"
                continue
            said = play.tell(report)
        assert said == line.expected, f"{scenario.file}.txt, line {line.number}: {line.command}"


@pytest.mark.parametrize("scenario", ALL, ids=name_of)
def test_the_book_does_what_the_scenario_says(scenario: Scenario) -> None:
    """Each line of the scenario, on the real book, with its invariants checked after each."""
    run(scenario, Book(LISTING.instrument), mirrored=False)


@pytest.mark.parametrize("scenario", MIRRORABLE, ids=name_of)
def test_the_book_does_the_same_with_buyers_and_sellers_exchanged(scenario: Scenario) -> None:
    """The mirror image of the scenario: neither side has an advantage."""
    run(scenario, Book(LISTING.instrument), mirrored=True)


@pytest.mark.parametrize("scenario", ALL, ids=name_of)
def test_the_naive_engine_does_what_the_scenario_says(scenario: Scenario) -> None:
    """The scenarios are also what the naive engine is held to."""
    run(scenario, NaiveEngine(LISTING.instrument), mirrored=False)


def test_there_are_enough_scenarios() -> None:
    """A parser that loses scenarios would leave the rules untested."""
    assert len(ALL) >= 150
    assert len({name_of(scenario) for scenario in ALL}) == len(ALL)
    assert all(scenario.lines for scenario in ALL)
