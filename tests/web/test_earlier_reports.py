"""A feed that begins with a snapshot and reads the reports below it again, because Postgres lacks them."""

from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.matching.book import Book
from app.matching.events import split
from app.matching.states import freeze
from app.models.conversion import scale_of
from app.models.reports import ExecutionReport, report_message
from app.models.snapshots import decode_state, encode_state
from app.postgres import History, Recorded
from tables.books.readers import Start
from tests.matching.streams import INSTRUMENT, commands
from web.entry.order_log import OrderLog
from web.entry.pending import Pending
from web.market import books as web_books
from web.market import recent_orders as web_orders
from web.market.books import recent_trades
from web.market.feed import MAX_READ_AGAIN, Feed, where_to_read
from web.streams.hub import Hub

LOG_ID = "3d7f2b0e-0000-8000-8000-000000000000"
COMMANDS, TAKEN_AT = 400, 300


class Log:
    """The reports of a random market, and its snapshot after some of them."""

    def __init__(self, seed: int) -> None:
        book = Book(INSTRUMENT)
        self.reports: list[ExecutionReport] = []
        for number, (command, moment) in enumerate(commands(seed, COMMANDS)):
            report = book.apply(command, moment)
            scale = scale_of(book.listing)
            self.reports += [report_message(part, scale) for part in split(report)]
            if number == TAKEN_AT:
                head, chunks = encode_state(freeze(book), LOG_ID)
                self.state: Any = decode_state(head, chunks.__getitem__, LOG_ID)

    def part(self, first: int, last: int) -> list[ExecutionReport]:
        """The reports with these seqs, both included."""
        return [report for report in self.reports if first <= report.seq <= last]


@pytest.fixture
async def begin(tmp_path: Path) -> AsyncIterator[Any]:
    """Makes a feed without Kafka."""
    feeds: list[Feed] = []

    def new(state: Any = None, recorded: int = 0) -> Feed:
        order_log = OrderLog(tmp_path / "orders.log", "off")
        feed = Feed("127.0.0.1:1", 1, History(""), Pending(), order_log, Hub().publish)
        if state is not None:
            feed._begin_with(state, recorded)
        feeds.append(feed)
        return feed

    yield new
    for feed in feeds:
        await feed._fetching.close()


def known(feed: Feed) -> tuple[Any, ...]:
    """Everything that the feed tells of the market: the book, and of orders and trades what came after their place."""
    market, recent = feed.markets[INSTRUMENT], feed.orders.of_client(None, [INSTRUMENT], None)
    trades = recent_trades([market])
    return (
        (market.seq, market.checksum(), market.answer(), market.snapshot_seq),
        [row.answer() for row in recent.newest_first()],
        [row.answer() for row in trades.newest_first()],
        {order_id: order.answer() for order_id, order in feed.orders._orders.items() if order.created_ms is not None},
    )


@pytest.mark.parametrize("seed", range(10))
async def test_what_was_read_again_is_known_as_if_the_feed_had_seen_it(begin: Any, seed: int) -> None:
    """From the first report on, and from a recorded one: then what is older is Postgres'."""
    log, whole = Log(seed), begin()
    for report in log.reports:
        whole._apply(report)
    again = begin(log.state, 0)
    for report in log.reports:
        again._apply(report)
    assert known(again) == known(whole)
    assert again.orders.known_after[INSTRUMENT] == whole.orders.known_after.get(INSTRUMENT, 0)
    assert recent_trades(again.markets.values()).since is None

    recorded = log.state.seq // 2
    later = begin(log.state, recorded)
    # Old owners' late copies change nothing: they are below what is recorded, or have come before.
    for report in [*log.part(recorded - 5, log.state.seq), *log.part(recorded, recorded + 9), *log.reports]:
        later._apply(report)
    book, orders, trades, _ = known(whole)
    its_book, its_orders, its_trades, _ = known(later)
    assert its_book[:-1] == book[:-1]
    assert its_book[-1] == max(book[-1], recorded)  # below what is recorded, any report may have carried a snapshot
    assert 0 < len(its_orders) < len(orders)
    assert its_orders == orders[: len(its_orders)]
    assert its_orders[-1]["seq"] > recorded and its_trades == trades[: len(its_trades)]
    assert recorded <= later.orders.known_after[INSTRUMENT]
    assert not later._earlier
    for order_id, order in later.orders._orders.items():
        right = whole.orders.get(order_id).answer()
        assert {name: value for name, value in order.answer().items() if value is not None}.items() <= right.items()


@pytest.mark.parametrize("seed", range(5))
async def test_a_log_that_lacks_some_of_them_is_not_half_believed(begin: Any, seed: int) -> None:
    """The feed then knows what its snapshot says, as if Postgres had been away, and says from where on."""
    log = Log(seed)
    recorded, seq = log.state.seq // 2, log.state.seq
    broken, plain = begin(log.state, recorded), begin(log.state, seq)
    for report in [*log.part(recorded + 1, seq - 10), *log.part(seq + 1, 10**9)]:
        broken._apply(report)
    for report in log.part(seq + 1, 10**9):
        plain._apply(report)

    assert known(broken) == known(plain)
    assert broken.orders.known_after == plain.orders.known_after
    assert broken.orders.known_after[INSTRUMENT] >= seq
    assert not broken._earlier


@pytest.mark.parametrize(
    ("recorded", "first", "left", "position", "is_read_again"),
    [
        (None, 0, MAX_READ_AGAIN, 500_000, False),
        (500_000, 0, MAX_READ_AGAIN, 500_000, True),
        (600_000, 0, MAX_READ_AGAIN, 500_000, True),
        (400_000, 0, MAX_READ_AGAIN, 400_000, True),
        (399_999, 0, MAX_READ_AGAIN, 500_000, False),
        (499_000, 0, 999, 500_000, False),
        (400_000, 400_001, MAX_READ_AGAIN, 500_000, False),
    ],
)
def test_a_start_reads_a_bounded_number_of_reports_again(
    recorded: int | None, first: int, left: int, position: int, is_read_again: bool
) -> None:
    """All that Postgres lacks or nothing: with Postgres away, too far behind, or a log that no longer has it."""
    known = None if recorded is None else Recorded(recorded, "log", {INSTRUMENT: 1})
    found = where_to_read(Start(0, (), 500_000, first), known, left)
    assert found == (position, known if is_read_again else None)


@pytest.mark.parametrize("what", ["orders", "trades"])
async def test_postgres_must_have_what_memory_forgot(monkeypatch: pytest.MonkeyPatch, begin: Any, what: str) -> None:
    """A list is whole once the last change of everything forgotten is recorded, and what no page took from memory."""
    monkeypatch.setattr(web_orders, "MAX_ORDERS", 20)
    monkeypatch.setattr(web_orders, "FORGOTTEN_AT_ONCE", 5)
    monkeypatch.setattr(web_books, "MAX_TRADES", 20)
    log, feed = Log(3), begin()
    monkeypatch.setattr(web_books, "deque", lambda maxlen: deque(maxlen=20))
    for report in log.reports:
        feed._apply(report)
    of = (lambda: feed.orders.of_client(None, [INSTRUMENT], None)) if what == "orders" else None
    recent = of() if of else recent_trades(feed.markets.values())
    rows = list(recent.newest_first())
    needed = recent.known_after[INSTRUMENT]

    assert recent.since is not None and 0 < needed < feed.markets[INSTRUMENT].seq
    assert not recent.is_whole({}, recent.since)
    assert not recent.is_whole({INSTRUMENT: needed - 1}, recent.since)
    assert recent.is_whole({INSTRUMENT: needed}, recent.since)
    # A page from further up needs the rows that it does not take from memory.
    newest = rows[0]
    assert not recent.is_whole({INSTRUMENT: newest.report_seq - 1}, newest.row_key._replace(seq=newest.row_key.seq + 1))
    assert recent.is_whole({INSTRUMENT: newest.report_seq}, newest.row_key._replace(seq=newest.row_key.seq + 1))
