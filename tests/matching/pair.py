"""The book and the naive engine side by side, and a reader who sees the reports only: all three must agree."""

from app.matching.book import Book
from app.matching.commands import Command, Moment
from app.matching.events import Report, split
from app.matching.sanity import check, check_cheap
from app.matching.states import freeze, restore
from app.naive.matching import NaiveEngine
from tests.matching.reader import Reader, fees_by_role


def waiting_for_fills(engine: Book | NaiveEngine) -> set[bytes]:
    """The triggered stops of either engine for which no fills were left."""
    if isinstance(engine, Book):
        return {order.order_id for order in engine.orders.triggered}
    return {order.terms.order_id for order in engine._triggered}


def balances_of(reader: Reader) -> dict[str, int]:
    """What each client has paid for the trades that were not busted."""
    paid = dict.fromkeys(reader.balances, 0)
    for trade in reader.trades:
        if trade.seq not in reader.busted:
            taker_fee, maker_fee = fees_by_role(trade)
            paid[trade.taker_client_id] += taker_fee
            paid[trade.maker_client_id] += maker_fee
    return paid


class Pair:
    """One market, run twice and followed once."""

    def __init__(self, instrument: str) -> None:
        self.book = Book(instrument)
        self.naive = NaiveEngine(instrument)
        self.reader = Reader()

    def apply(self, command: Command, at: Moment) -> Report:
        """Carry out one command on both; every invariant holds after it."""
        report, expected = self.book.apply(command, at), self.naive.apply(command, at)
        assert report == expected, f"{command}\ngave     {report}\nexpected {expected}"
        check(self.book)
        check_cheap(self.book, report)
        for part in split(report):
            self.reader.follow(part)
        return report

    def check(self) -> None:
        """What they say about the whole market is the same too."""
        everything = 10**9
        assert self.book.depth(everything) == self.naive.depth(everything) == self.reader.depth()
        assert self.book.listing == self.naive.listing == self.reader.listing
        assert self.book.market_status == self.naive.market_status == self.reader.market_status
        assert (self.book.seq, self.book.trade_seq) == (self.naive.seq, self.naive.trade_seq)
        assert self.book.time_ms == self.naive.time_ms
        resting_and_waiting = self.naive.open_orders_list()
        state = freeze(self.book)
        ours = [order.order_id for order in (*state.bids, *state.asks, *state.stops)]
        assert ours == [order.order_id for order in resting_and_waiting]
        assert self.reader.open_orders() == {order.order_id: order for order in resting_and_waiting}
        assert self.book.fees == self.naive.fees
        assert self.book.busted == set(self.naive.busted) == self.reader.busted
        assert self.reader.balances == balances_of(self.reader)
        self.reader.check(waiting_for_fills(self.book))

    def restart(self) -> None:
        """The book goes on from its state, as in another process."""
        before = freeze(self.book)
        blocks = {number: self.book.id_block(number) for number in range(before.first_block, before.end_block)}
        self.book = restore(before, blocks)
        assert freeze(self.book) == before, "a restored book is another one"
        check(self.book)
