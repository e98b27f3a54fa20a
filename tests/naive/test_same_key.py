"""Keys: a command is carried out once, for as long as the window says (R15, I12)."""

from app.matching.commands import (
    Cancel,
    Reduce,
    Replace,
)
from app.matching.words import (
    Outcome,
    Reason,
    Status,
    TimeInForce,
)
from tests.naive.market import BUY, Market, name, order, states


def test_a_repeat_is_a_duplicate_and_touches_nothing() -> None:
    """R15: whatever the market's state; another body with the key is refused."""
    market = Market()
    market.place("a", BUY, 1, 100)
    market.halt()
    report = market.place("a", BUY, 1, 100)
    assert (report.outcome, report.original_seq, report.orders) == (Outcome.DUPLICATE, 2, [])
    assert (report.order_id, report.seq) == (name("a"), 4)
    report = market.send(order("a", BUY, 1, 100)._replace(fingerprint=99))
    assert (report.outcome, report.reason, report.orders) == (Outcome.REJECTED, Reason.DUPLICATE_ORDER, [])


def test_a_refused_command_consumes_its_key() -> None:
    """R15: the repeat of a rejected order is a duplicate."""
    market = Market()
    market.place("a", BUY, 0, 100)
    assert market.place("a", BUY, 0, 100).outcome == Outcome.DUPLICATE


def test_commands_on_orders_are_repeated_safely() -> None:
    """R6 and R15: the second reduce changes nothing and names its order."""
    market = Market()
    market.place("a", BUY, 5, 100)
    command = Reduce(*market.key(), name("a"), 1)
    market.send(command)
    report = market.send(command)
    assert (report.outcome, report.original_seq, report.order_id) == (Outcome.DUPLICATE, 3, name("a"))
    assert market.naive.orders[name("a")].remaining == 4


def test_a_key_is_forgotten_after_as_many_others_as_the_window_counts() -> None:
    """I12: with a window of two, the listing and a are pushed out by b and c."""
    market = Market(id_window_count=2)
    for label in "abc":
        market.place(label, BUY, 1)
    assert market.place("b", BUY, 1).outcome == Outcome.DUPLICATE
    assert market.place("a", BUY, 1).outcome == Outcome.ACCEPTED
    assert market.cancel("b").reason == Reason.UNKNOWN_ORDER


def test_a_key_is_forgotten_after_the_time_of_the_window() -> None:
    """I12: exactly W later it is still known."""
    market = Market(id_window_ms=10)
    market.place("a", BUY, 1)
    market.now = 1_010
    assert market.place("a", BUY, 1).outcome == Outcome.DUPLICATE
    market.now = 1_011
    assert market.place("a", BUY, 1).outcome == Outcome.ACCEPTED


def test_the_id_of_an_open_order_is_never_forgotten() -> None:
    """I12: it answers with its accepting seq; expired in the same command it is free again."""
    market = Market(id_window_count=0)
    terms = {"time_in_force": TimeInForce.GTD, "expire_time_ms": 1_005}
    market.place("a", BUY, 1, 100, **terms)
    market.place("b", BUY, 1)
    report = market.place("a", BUY, 1, 100, **terms)
    assert (report.outcome, report.original_seq) == (Outcome.DUPLICATE, 2)
    market.now = 1_005
    report = market.place("a", BUY, 2, 100)
    assert states(report) == [("a", Status.EXPIRED, Reason.EXPIRE_TIME_REACHED, 0, 1), ("a", Status.NEW, None, 0, 2)]


def test_a_larger_window_holds_only_for_the_future() -> None:
    """I12: a had left the window when the listing came and does not come back; b was its last."""
    market = Market(id_window_count=1)
    market.place("a", BUY, 1)
    market.place("b", BUY, 1)
    market.list(id_window_count=100)
    assert market.place("b", BUY, 1).outcome == Outcome.DUPLICATE
    assert market.place("a", BUY, 1).outcome == Outcome.ACCEPTED
    assert market.place("a", BUY, 1).outcome == Outcome.DUPLICATE


def test_a_new_order_of_a_replace_consumes_its_key() -> None:
    """R6 and R15: with the seq of the replace."""
    market = Market()
    market.place("a", BUY, 1, 100)
    new = order("n", BUY, 1, 100, client_id="a")
    report = market.replace("a", new)
    assert (market.send(new).outcome, market.send(new).original_seq) == (Outcome.DUPLICATE, report.seq)


def test_a_command_that_names_its_own_key_finds_it() -> None:
    """The key is consumed before anything is looked up."""
    market = Market()
    market.place("a", BUY, 1, 100)
    assert market.send(Cancel(name("k"), 1, name("k"))).reason == Reason.TOO_LATE_TO_CANCEL
    replace = Replace(name("r"), 1, name("a"), order("r", BUY, 1, 100, client_id="a"))
    assert market.send(replace).reason == Reason.DUPLICATE_ORDER
