"""Fees and busts beyond single scenarios (R16, R17): every split of an order costs the same, and every limit holds."""

from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.matching import rules
from app.matching.book import Book
from app.matching.commands import Bust, ClientRates, FeeSchedule, List, Listing, Moment, Place, SetFees
from app.matching.events import Report
from app.matching.fees import MAX_CLIENTS_WITH_RATES, MAX_RATE
from app.matching.states import freeze, restore
from app.matching.words import OrderType, Outcome, Reason, SelfTradePrevention, Side
from app.naive import matching as naive
from app.naive.matching import NaiveEngine

RATES = st.integers(-MAX_RATE, MAX_RATE)
SIZES = st.sampled_from((1, 3, 10**4, 10**6, 10**8))
SPLITS = st.lists(st.integers(1, 10**6), min_size=1, max_size=6)
SCALES, SIDES = st.integers(0, 8), st.sampled_from(Side)
PRICE = 12_345


class Market:
    """A market in which each order has a number."""

    def __init__(self, engine: type[Book] | type[NaiveEngine] = Book, **sizes: Any) -> None:
        self.engine: Any = engine("X")
        self.offset = 0
        listing = Listing("X", "A", "B", 1, 1, self_trade_prevention=SelfTradePrevention.NONE)
        self.send(List, listing._replace(**sizes))

    def send(self, kind: Any, *rest: Any) -> Report:
        self.offset += 1
        command = kind(self.offset.to_bytes(16, "big"), 0, *rest)
        report: Report = self.engine.apply(command, Moment(self.offset, self.offset))
        return report

    def place(self, side: Side, quantity: int) -> Report:
        return self.send(Place, "ann", "", side, OrderType.LIMIT, quantity, PRICE)


@given(parts=SPLITS, maker=RATES, taker=RATES, tick=SIZES, lot=SIZES, scale=SCALES, side=SIDES)
@settings(deadline=None, derandomize=True)
def test_an_order_pays_the_same_for_every_split(
    parts: list[int], maker: int, taker: int, tick: int, lot: int, scale: int, side: Side
) -> None:
    """What its rate times all that it traded gives, rounded up once; restarts between its fills change nothing."""
    total = sum(parts)
    market = Market(tick_size=tick, lot_size=lot, quote_scale=scale)
    market.send(SetFees, FeeSchedule(maker, taker))
    opposite = Side.SELL if side is Side.BUY else Side.BUY
    for part in parts:
        market.place(opposite, part)
    took = market.place(side, total)
    market.place(opposite, total)
    rested = []
    for part in parts:
        market.engine = restore(freeze(market.engine), {})
        rested.append(market.place(side, part))

    worth = Fraction(PRICE * tick * total * lot * 10**scale, 10**16)
    as_taker, as_maker = (ceil(worth * rate / 10**6) for rate in (taker, maker))
    fees = [trade.buyer_fee if side is Side.BUY else trade.seller_fee for trade in took.trades]
    assert took.orders[0].fees == sum(fees) == as_taker
    fees = [trade.seller_fee if side is Side.BUY else trade.buyer_fee for report in rested for trade in report.trades]
    assert rested[-1].orders[1].fees == sum(fees) == as_maker
    assert len(took.trades) == len(fees) == len(parts)


@pytest.mark.parametrize("engine", [Book, NaiveEngine])
def test_so_many_clients_may_have_rates_of_their_own_and_not_one_more(engine: type[Book] | type[NaiveEngine]) -> None:
    """The schedule is in every snapshot of the book."""
    own = [ClientRates(f"{number:04}", 0, 0) for number in range(MAX_CLIENTS_WITH_RATES + 1)]
    market = Market(engine)
    assert market.send(SetFees, FeeSchedule(0, 0, tuple(own))).reason is Reason.INVALID_FEES
    assert market.send(SetFees, FeeSchedule(0, 0, tuple(own[1:]))).outcome is Outcome.ACCEPTED


def test_ten_thousand_trades_of_a_market_may_be_busted() -> None:
    """By both engines: the book remembers each of them."""
    assert rules.MAX_BUSTS == naive.MAX_BUSTED == 10_000


@pytest.mark.parametrize("engine", [Book, NaiveEngine])
def test_so_many_trades_may_be_busted_and_not_one_more(
    engine: type[Book] | type[NaiveEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trade that was busted already is refused as such even then."""
    most, market = 20, Market(engine)
    monkeypatch.setattr(rules, "MAX_BUSTS", most)
    monkeypatch.setattr(naive, "MAX_BUSTED", most)
    for _ in range(most + 2):
        market.place(Side.BUY, 1)
        market.place(Side.SELL, 1)
    seqs = [*range(2, most + 2)]
    assert {market.send(Bust, seq, "error").outcome for seq in reversed(seqs)} == {Outcome.ACCEPTED}
    assert market.send(Bust, 1, "error").reason is Reason.TOO_MANY_BUSTS
    assert market.send(Bust, 2, "error").reason is Reason.TRADE_BUSTED
    assert market.send(Bust, most + 3, "error").reason is Reason.UNKNOWN_TRADE
    if isinstance(market.engine, Book):
        assert freeze(market.engine).busted == tuple(seqs)
