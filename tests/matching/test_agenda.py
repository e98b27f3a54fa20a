"""Orders by when their turn comes: an agenda does not grow with what has ended, nor work at every step."""

from app.matching.agenda import SLACK, Agenda
from app.matching.orders import PLAIN, Order
from app.matching.words import SelfTradePrevention, Side, Status

TERMS = PLAIN[Side.BUY, SelfTradePrevention.NONE]


def order(seq: int) -> Order:
    return Order(b"%16d" % seq, 0, seq, "ann", TERMS, 100, 1)


def held(agenda: Agenda) -> int:
    return len(agenda._entries)


def test_orders_come_by_key_and_then_by_number() -> None:
    """Whatever the order in which they were noted."""
    agenda = Agenda()
    noted = [(30, 1), (10, 5), (20, 2), (10, 3), (20, 4)]
    for key, seq in noted:
        agenda.add(key, order(seq))
    assert agenda.first_key() == 10
    assert agenda.pop_until(9) is None
    came = [agenda.pop_until(key) for key in (10, 10, 10, 20, 29, 29, 30, 30)]
    assert [None if found is None else found.seq for found in came] == [3, 5, None, 2, 4, None, 1, None]
    assert agenda.first_key() is None


def test_orders_that_have_ended_are_passed_over() -> None:
    """However many there are before the next."""
    agenda, orders = Agenda(), [order(seq) for seq in range(6)]
    for one in orders:
        agenda.add(one.seq, one)
    for one in orders[:2] + orders[3:5]:
        one.end(Status.CANCELED)
    assert agenda.first_key() == 2
    assert agenda.pop_until(4) is orders[2]
    assert agenda.pop_until(4) is None
    assert agenda.pop_until(5) is orders[5]
    assert agenda.first_key() is None


def test_what_has_ended_is_thrown_out_when_it_is_more_than_what_is_open() -> None:
    """Memory is at most twice what is open, and a little; and nothing that is open is lost."""
    for count in (0, 1, 1_000):
        agenda, largest = Agenda(), 0
        open_orders = [order(seq) for seq in range(count)]
        for one in open_orders:
            agenda.add(one.seq, one)
        for seq in range(count, count + 5_000):
            ended = order(seq)
            agenda.add(-seq, ended)
            ended.end(Status.CANCELED)
            largest = max(largest, held(agenda))
        # While an order is added it is open. Sooner would be too often.
        assert largest == 2 * (count + 1) + SLACK
        assert [agenda.pop_until(count) for _ in open_orders] == open_orders
        assert agenda.first_key() is None
