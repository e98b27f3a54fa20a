"""Identity (R15): a key is one command, for as long as the window says, and for as long as its order is open."""

from itertools import permutations, product
from typing import Any

import pytest

from app.matching import identities, sanity, states
from app.matching.book import Book
from app.matching.commands import (
    COMMAND_WORDS,
    Amend,
    Bust,
    Cancel,
    EngineVersion,
    FeeSchedule,
    Halt,
    List,
    Listing,
    MassCancel,
    Moment,
    Place,
    Reduce,
    Replace,
    Resume,
    SetFees,
    Snapshot,
    Tick,
)
from app.matching.events import Report
from app.matching.identities import BLOCK
from app.matching.sanity import check
from app.matching.states import BookState, freeze, restore
from app.matching.words import OrderType, Outcome, Reason, Side

LISTING = Listing("X", "A", "B", 1, 1)
KEY, OTHER_KEY, OPEN = (word.ljust(16) for word in (b"key", b"other", b"open"))


def order(order_id: bytes, price: int = 100) -> Place:
    return Place(order_id, 1, "ann", "", Side.BUY, OrderType.LIMIT, 5, price)


# One of each command, all with the same key and all accepted in a market where OPEN is open.
COMMANDS: dict[str, Any] = {
    "place": order(KEY),
    "cancel": Cancel(KEY, 2, OPEN),
    "amend": Amend(KEY, 3, OPEN, price=99),
    "reduce": Reduce(KEY, 4, OPEN, 1),
    "replace": Replace(KEY, 5, OPEN, order(OTHER_KEY), "ann"),
    "mass_cancel": MassCancel(KEY, 6),
    "list": List(KEY, 7, LISTING._replace(max_fills=7)),
    "halt": Halt(KEY, 8),
    "resume": Resume(KEY, 9),
    "snapshot": Snapshot(KEY, 10),
    "engine_version": EngineVersion(KEY, 11, 1),
    "set_fees": SetFees(KEY, 12, FeeSchedule(-1, 2)),
    "bust": Bust(KEY, 13, 1, "an error"),
}


class Market:
    """A book with one open order; commands come one millisecond after another unless told otherwise."""

    def __init__(self, **rules: Any) -> None:
        self.book = Book("X")
        self.offset = self.time_ms = 0
        self.send(List(b"list".ljust(16), 0, LISTING._replace(**rules)))
        self.opened = self.send(order(OPEN, 50))

    def send(self, command: Any, after_ms: int = 1) -> Report:
        self.offset += 1
        self.time_ms += after_ms
        return self.book.apply(command, Moment(self.offset, self.time_ms))

    def pass_by(self, commands: int, after_ms: int = 0) -> None:
        """So many commands of others."""
        for _ in range(commands):
            self.send(Cancel(b"pass%12d" % self.offset, 0, b"none".ljust(16)), after_ms)

    def standing(self) -> BookState:
        """What a refused or repeated command must not change: all but position, clock and seq."""
        return freeze(self.book)._replace(offset=0, seq=0, time_ms=0)


def market_with_a_trade() -> Market:
    """One in which all of COMMANDS are accepted."""
    market = Market()
    market.send(order(b"maker".ljust(16), 120))
    market.send(order(b"taker".ljust(16), 120)._replace(side=Side.SELL, client_id="bob"))
    return market


def test_there_is_a_case_of_every_command_that_has_a_key() -> None:
    """Only a tick has none."""
    assert {*COMMANDS, "tick"} == set(COMMAND_WORDS.values())
    assert all(COMMAND_WORDS[type(command)] == word for word, command in COMMANDS.items())


@pytest.mark.parametrize("word", COMMANDS)
def test_a_repeat_is_told_what_came_of_the_first_and_changes_nothing(word: str) -> None:
    """Also when it comes a third time, and whatever happened meanwhile."""
    market, command = market_with_a_trade(), COMMANDS[word]
    first = market.send(command)
    assert first.outcome is Outcome.ACCEPTED
    for _ in range(2):
        market.pass_by(3)
        before = market.standing()
        again = market.send(command)
        assert (again.outcome, again.original_seq, again.reason) == (Outcome.DUPLICATE, first.seq, None)
        assert (again.command, again.command_id, again.order_id) == (word, KEY, first.order_id)
        assert not (again.orders or again.trades or again.levels or again.listing or again.market_status)
        assert again.fees is again.bust is None
        assert market.standing() == before


@pytest.mark.parametrize("word", COMMANDS)
def test_the_same_key_with_another_body_is_refused_and_changes_nothing(word: str) -> None:
    """The fingerprint tells; a later repeat of the first is still a repeat."""
    market, command = market_with_a_trade(), COMMANDS[word]
    first = market.send(command)
    before = market.standing()
    other = market.send(command._replace(fingerprint=99))
    assert (other.outcome, other.reason, other.original_seq) == (Outcome.REJECTED, Reason.DUPLICATE_ORDER, None)
    assert not (other.orders or other.trades or other.levels)
    assert market.standing() == before
    assert market.send(command).original_seq == first.seq


def test_all_commands_share_one_space_of_keys() -> None:
    """Whatever used the key first, and whatever comes with it then."""
    for one, other in permutations(COMMANDS, 2):
        market = market_with_a_trade()
        assert market.send(COMMANDS[one]).outcome is Outcome.ACCEPTED
        before = market.standing()
        assert market.send(COMMANDS[other]).reason is Reason.DUPLICATE_ORDER, (one, other)
        assert market.standing() == before


def test_an_order_that_came_as_a_replacement_answers_repeats_of_its_own_key() -> None:
    """With the seq of the replacement, open or gone; another body is refused."""
    market = Market()
    market.pass_by(2)
    replaced = market.send(COMMANDS["replace"])
    for _ in range(2):
        again = market.send(order(OTHER_KEY))
        assert (again.outcome, again.original_seq) == (Outcome.DUPLICATE, replaced.seq)
        assert market.send(order(OTHER_KEY)._replace(fingerprint=9)).reason is Reason.DUPLICATE_ORDER
        market.send(Cancel(b"gone".ljust(16), 0, OTHER_KEY))


REFUSED = {
    "place": order(KEY)._replace(quantity=0),
    "cancel": Cancel(KEY, 2, b"none".ljust(16)),
    "amend": Amend(KEY, 3, OPEN, price=0),
    "reduce": Reduce(KEY, 4, OPEN, 0),
    "replace": Replace(KEY, 5, OPEN, order(OTHER_KEY)._replace(quantity=0), "ann"),
    "list": List(KEY, 7, LISTING._replace(max_fills=0)),
    "engine_version": EngineVersion(KEY, 11, 0),
    "set_fees": SetFees(KEY, 12, FeeSchedule(0, 1_000_001)),
    "bust": Bust(KEY, 13, 2, "an error"),
}


@pytest.mark.parametrize("word", REFUSED)
def test_a_refused_command_has_used_its_key(word: str) -> None:
    """A repeat is not tried again, even if it would be accepted by now."""
    market, command = market_with_a_trade(), REFUSED[word]
    first = market.send(command)
    assert first.outcome is Outcome.REJECTED
    assert market.send(command).original_seq == first.seq
    assert market.send(COMMANDS[word]._replace(fingerprint=99)).reason is Reason.DUPLICATE_ORDER


def test_a_tick_has_no_key() -> None:
    """It can come as often as it likes."""
    market = Market()
    reports = [market.send(Tick()) for _ in range(3)]
    assert [(report.outcome, report.command_id) for report in reports] == [(Outcome.ACCEPTED, None)] * 3


def test_the_unfinished_block_has_what_is_beyond_the_complete_ones() -> None:
    """A snapshot repeats these records, so their number decides when one is due."""
    market = Market()
    found = [market.book.identities.unfinished]
    for count in (BLOCK - 3, 1, BLOCK + 5):
        market.pass_by(count)
        found.append(market.book.identities.unfinished)
    assert found == [2, BLOCK - 1, 0, 5]


@pytest.mark.parametrize("window", [0, 1, 2, 5, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 1])
def test_a_key_is_remembered_for_exactly_as_many_commands_as_the_window_counts(window: int) -> None:
    """Counted without the repeat itself: a window of one remembers the last command only."""
    for others in {max(0, window + by) for by in (-2, -1, 0, 1)}:
        market = Market(id_window_count=window)
        market.send(COMMANDS["cancel"])
        market.pass_by(others)
        is_known = market.send(COMMANDS["cancel"]).outcome is Outcome.DUPLICATE
        assert is_known == (others < window), others


@pytest.mark.parametrize("window_ms", [0, 1, 50, 86_400_000])
def test_a_key_is_remembered_for_exactly_as_long_as_the_window_is(window_ms: int) -> None:
    """By the log's clock: to the millisecond."""
    for by in (-1, 0, 1):
        market = Market(id_window_ms=window_ms)
        market.send(COMMANDS["cancel"], after_ms=10)
        is_known = market.send(COMMANDS["cancel"], after_ms=window_ms + by).outcome is Outcome.DUPLICATE
        assert is_known == (by <= 0), by


def test_a_window_of_time_is_exact_from_the_first_millisecond_of_all() -> None:
    """Zero is a time like any other, though no clock shows it; and a restored book goes by the same times."""
    for first_ms, restarts in product((0, 1), (False, True)):
        book = Book("X")
        book.apply(List(b"list".ljust(16), 0, LISTING._replace(id_window_ms=100)), Moment(0, first_ms))
        book.apply(COMMANDS["mass_cancel"], Moment(1, first_ms))
        book.apply(Halt(OTHER_KEY, 0), Moment(2, first_ms + 5))
        book = restore(freeze(book), {}) if restarts else book
        assert book.apply(COMMANDS["mass_cancel"], Moment(3, first_ms + 100)).outcome is Outcome.DUPLICATE
        assert book.apply(COMMANDS["mass_cancel"], Moment(4, first_ms + 101)).outcome is Outcome.ACCEPTED


def test_a_window_of_time_is_exact_for_every_key() -> None:
    """Keys one millisecond apart leave one after the other, over the edges of blocks too."""
    market, window_ms = Market(id_window_ms=1_000), 1_000
    keys = [b"k%15d" % number for number in range(3 * BLOCK)]
    for key in keys:
        market.send(Cancel(key, 0, b"none".ljust(16)))
    now = market.time_ms
    for number in range(0, len(keys), 7):
        key, sent_ms = keys[number], number + 3
        report = market.send(Snapshot(key, 0), after_ms=0)
        known = report.outcome is Outcome.DUPLICATE
        assert known == (now - sent_ms <= window_ms), number


def test_time_that_goes_back_forgets_nothing_and_brings_nothing_back() -> None:
    """The clock is the largest time seen."""
    market = Market(id_window_ms=100)
    market.send(COMMANDS["cancel"])
    assert market.send(COMMANDS["cancel"], after_ms=-50).outcome is Outcome.DUPLICATE
    market.send(Tick(), after_ms=200)
    market.time_ms -= 150
    assert market.send(COMMANDS["cancel"]).outcome is Outcome.REJECTED


def test_the_id_of_an_open_order_is_never_forgotten() -> None:
    """Beyond any window, over restarts, until the order ends."""
    market = Market(id_window_count=3, id_window_ms=10)
    for _ in range(3):
        market.pass_by(BLOCK, after_ms=5)
        state = freeze(market.book)
        blocks = {number: market.book.id_block(number) for number in range(state.first_block, state.end_block)}
        market.book = restore(state, blocks)
        repeat = market.send(order(OPEN, 50))
        assert (repeat.outcome, repeat.original_seq) == (Outcome.DUPLICATE, market.opened.seq)
        assert market.send(order(OPEN, 50)._replace(fingerprint=9)).reason is Reason.DUPLICATE_ORDER
        assert market.send(Halt(OPEN, 1)).outcome is Outcome.DUPLICATE
        assert market.send(Replace(b"r%15d" % market.offset, 0, OPEN, order(OPEN))).reason is Reason.DUPLICATE_ORDER
    market.send(COMMANDS["cancel"])
    market.pass_by(3)
    assert market.send(order(OPEN, 50)).outcome is Outcome.ACCEPTED


def test_what_is_remembered_does_not_grow_beyond_the_window() -> None:
    """Memory is the window's, in whole blocks, however long the market lives."""
    market = Market(id_window_count=100)
    market.pass_by(10 * BLOCK)
    state = freeze(market.book)
    assert (state.live_from, state.total) == (10 * BLOCK + 1 - 100, 10 * BLOCK + 2)
    assert len(market.book.identities.index) < 2 * BLOCK
    assert set(market.book.identities.blocks) == set(range(state.first_block, state.end_block + 1))


def test_a_block_goes_as_soon_as_all_its_keys_have_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """At every command, by count and by time: neither a key too few nor a block too many."""
    for module in (identities, sanity, states):
        monkeypatch.setattr(module, "BLOCK", 4)
    for rules in ({"id_window_count": 6}, {"id_window_ms": 6}, {"id_window_count": 0}, {"id_window_ms": 0}):
        market = Market(**rules)
        for _ in range(40):
            market.pass_by(1, after_ms=1)
            check(market.book)
            kept, state = market.book.identities, freeze(market.book)
            assert set(kept.blocks) == set(range(state.live_from // 4, state.total // 4 + 1))
            assert len(kept.index) == sum(len(block) for block in kept.blocks.values())
            assert state.total - state.live_from == min(state.total, next(iter(rules.values())) + 1)
            assert (state.first_block, state.end_block) == (state.live_from // 4, state.total // 4)


def test_a_key_used_again_is_known_by_its_newest_use() -> None:
    """When the block of its first use goes, the second stays."""
    market = Market(id_window_count=BLOCK)
    market.send(COMMANDS["cancel"])
    market.pass_by(BLOCK)
    again = market.send(COMMANDS["cancel"])
    assert again.outcome is Outcome.REJECTED, "an order that is gone"
    market.pass_by(BLOCK - 1)
    assert market.send(COMMANDS["cancel"]).original_seq == again.seq
