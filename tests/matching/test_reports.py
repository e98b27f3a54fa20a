"""Reports: dense, in parts when they are large, and enough to follow the market by."""

import pytest

from app.matching.book import Book
from app.matching.commands import ClientRates, FeeSchedule, List, Listing, MassCancel, Moment, Place, SetFees, Snapshot
from app.matching.events import MAX_ENTRIES_PER_PART, BustedTrade, Level, OrderState, Report, Trade, parts_of, split
from app.matching.fees import MAX_CLIENTS_WITH_RATES, MAX_RATE
from app.matching.words import Liquidity, OrderType, Outcome, SelfTradePrevention, Side, Status
from app.models.conversion import scale_of
from app.models.reports import encode, report_message
from tests.matching.pair import Pair
from tests.matching.reader import Reader
from tests.matching.scenario import LISTING as OF_SCENARIOS
from tests.matching.scenario import Play
from tests.matching.streams import INSTRUMENT, commands

KIB = 1024
LONGEST = "x" * 64
# The smallest tick and lot of all, so that numbers have as many digits as they can have.
LISTING = Listing(LONGEST, LONGEST, LONGEST, 1, 1, max_price=10**19, max_quantity=10**19)
ORDER = OrderState(b"o" * 16, "c", Status.NEW, None, 1, 1, 0, 1, 0)
TRADE = Trade(1, 1, 1, b"m" * 16, b"t" * 16, "c", "d", Side.BUY, 0, 0)
LEVEL = Level(Side.BUY, 1, 1, 1)


def report(orders: int, trades: int, levels: int) -> Report:
    """A report of a command with so many entries, all different."""
    return Report(
        "X",
        7,
        1,
        1,
        1,
        "place",
        b"k" * 16,
        Outcome.ACCEPTED,
        orders=[ORDER._replace(price=n) for n in range(orders)],
        trades=[TRADE._replace(seq=n) for n in range(trades)],
        levels=[LEVEL._replace(price=n) for n in range(levels)],
        fees=FeeSchedule(1, 2),
        bust=BustedTrade(1, "an error"),
        parts=parts_of(orders + trades + levels),
    )


@pytest.mark.parametrize(("entries", "parts"), [(0, 1), (1, 1), (256, 1), (257, 2), (512, 2), (513, 3), (3_000, 12)])
def test_a_report_takes_as_many_seqs_as_it_has_parts(entries: int, parts: int) -> None:
    """The number is part of the format: all later seqs depend on it."""
    assert parts_of(entries) == parts


@pytest.mark.parametrize(
    "counts",
    [(0, 0, 0), (256, 0, 0), (257, 0, 0), (100, 156, 1), (300, 0, 300), (0, 600, 0), (1, 1_000, 2), (513, 511, 2)],
    ids=str,
)
def test_the_parts_of_a_report_are_all_of_it(counts: tuple[int, int, int]) -> None:
    """In order: its orders, then its trades, then its levels; none is empty, none has more than a part may have.

    The first has the fees and the bust, so that nobody mirrors a trade twice.
    """
    whole = report(*counts)
    parts = list(split(whole))
    assert len(parts) == whole.parts
    assert (parts[0] is whole) == (whole.parts == 1)
    assert [part.seq for part in parts] == list(range(7, 7 + whole.parts))
    assert [(part.part, part.parts) for part in parts] == [(n, whole.parts) for n in range(1, whole.parts + 1)]
    for name in ("orders", "trades", "levels"):
        assert [entry for part in parts for entry in getattr(part, name)] == getattr(whole, name)
    sizes = [len(part.orders) + len(part.trades) + len(part.levels) for part in parts]
    assert all(size == MAX_ENTRIES_PER_PART for size in sizes[:-1])
    kinds = [name for part in parts for name in ("orders", "trades", "levels") for _ in getattr(part, name)]
    assert kinds == sorted(kinds, key=("orders", "trades", "levels").index)
    rest = [part._replace(seq=0, part=0, orders=[], trades=[], levels=[]) for part in parts]
    first = whole._replace(seq=0, part=0, orders=[], trades=[], levels=[])
    assert rest == [first] + [first._replace(fees=None, bust=None)] * (len(parts) - 1)


def sweep() -> list[Report]:
    """The largest things that can happen: 1,000 makers at as many prices filled by one, the next 1,000 canceled."""
    book, last = Book(LONGEST), 10**19
    mode, fees = SelfTradePrevention.NONE, SetFees(b"fees".ljust(16), 0, FeeSchedule(-MAX_RATE, MAX_RATE))
    reports = [book.apply(command, Moment(0, 0)) for command in (List(b"list".ljust(16), 0, LISTING), fees)]
    for n in range(2_000):
        client = f"{n:x}".rjust(64, "x")
        maker = Place(
            n.to_bytes(16, "big"), 0, client, LONGEST, Side.SELL, OrderType.LIMIT, last // 2_000, last - 2_000 + n
        )
        reports.append(book.apply(maker, Moment(1, 1)))
    taker = Place(b"t" * 16, 0, LONGEST, LONGEST, Side.BUY, OrderType.LIMIT, last, last, self_trade_prevention=mode)
    reports.append(book.apply(taker, Moment(10**14, 10**14)))
    reports.append(book.apply(Snapshot(b"snapshot".ljust(16), 0), Moment(10**14, 10**14)))
    reports.append(book.apply(MassCancel(b"mass".ljust(16), 0), Moment(10**14, 10**14)))
    return reports


def test_no_part_of_the_largest_reports_exceeds_256_kib() -> None:
    """With the longest ids and numbers: what is sent must fit, whatever the market."""
    *_, swept, snapshot, canceled = sweep()
    assert (len(swept.trades), swept.parts, snapshot.parts, canceled.parts) == (1_000, 12, 4, 8)
    scale = scale_of(LISTING)
    sizes = [len(encode(report_message(part, scale))) for r in (swept, snapshot, canceled) for part in split(r)]
    assert 100 * KIB < max(sizes) < 256 * KIB


def test_the_largest_schedule_of_fees_fits() -> None:
    """With the longest names, in one part with as many order states as there can be."""
    clients = tuple(ClientRates(f"{n:x}".rjust(64, "x"), -MAX_RATE, -MAX_RATE) for n in range(MAX_CLIENTS_WITH_RATES))
    whole = report(MAX_ENTRIES_PER_PART, 0, 0)._replace(fees=FeeSchedule(-MAX_RATE, -MAX_RATE, clients))
    assert 100 * KIB < len(encode(report_message(whole, scale_of(LISTING)))) < 512 * KIB


def test_a_reader_joins_the_parts() -> None:
    """Following part by part gives what the book has in the end: nothing."""
    reader = Reader()
    for whole in sweep():
        for part in split(whole):
            reader.follow(part)
    reader.check()
    assert (len(reader.trades), reader.depth(), reader.open_orders()) == (1_000, ([], []), {})
    assert reader.orders[b"t" * 16].filled == 1_000 * (10**19 // 2_000)


@pytest.mark.parametrize("seed", range(700, 712))
def test_a_reader_knows_the_market_after_every_report(seed: int) -> None:
    """Levels, every order's state, every trade and the rules: from the reports alone, as the engines have them."""
    pair = Pair(INSTRUMENT)
    for command, at in commands(seed, 120):
        pair.apply(command, at)
        pair.check()
        assert pair.reader.orders == {
            order_id: state._replace(terms=None, last_price=None, last_quantity=None, liquidity=None)
            for order_id, state in pair.naive.orders.items()
        }


def test_a_reader_notices_a_lost_report() -> None:
    """What is dense cannot be thinned out unseen."""
    reports = sweep()[:3]
    reader = Reader()
    reader.follow(reports[0])
    with pytest.raises(AssertionError, match="a gap"):
        reader.follow(reports[2])


def test_an_amended_order_reports_the_fill_that_a_waiting_stop_gave_it() -> None:
    """The stop runs before the amend, in the same command: the order's last fill in it is that one."""
    pair, play = Pair(OF_SCENARIOS.instrument), Play(mirrored=False)
    pair.apply(*play.listing())
    lines = ("list max_fills=1", "sell s1 1 @ 105", "sell s2 5 @ 106", "buy b1 1 stop 105", "buy b2 1 @ 105")
    for line in lines:
        pair.apply(*play.read(line))
    report = pair.apply(*play.read("amend s2 4 @ 107"))
    assert [(state.last_price, state.last_quantity, state.liquidity) for state in report.orders] == [
        (106, 1, Liquidity.TAKER),
        (106, 1, Liquidity.MAKER),
    ]
