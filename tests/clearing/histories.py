"""Random histories of trades, busts and clearing facts, and both ledgers fed with them."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from app.clearing.amounts import ONE, UNITS_PER_ONE, text
from app.clearing.cycles import Closed, Cycles
from app.clearing.entries import Bust, Entry, Trade
from app.clearing.ledger import Ledger, Netted
from app.clearing.netting import Netting
from app.clearing.statements import EntryLine, Statement
from app.naive.clearing import NaiveLedger, NaiveTrade

MARKETS = {"BTC-USD": ("BTC", "USD"), "ETH-USD": ("ETH", "USD"), "ETH-BTC": ("ETH", "BTC")}
CLIENTS = ["ann", "bob", "Cy", "d.1"]
LARGEST = 10**20 - 1
"""999999999999.99999999, the largest price and quantity, in 10^-8."""


def examples(count: int) -> settings:
    """So many random histories for a test that projects each into the same database; none is shrunk."""
    unhealthy = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=count, deadline=None, phases=[Phase.generate], suppress_health_check=unhealthy)


@dataclass
class History:
    """Entries of every instrument by seq, and the facts of the topic in order."""

    trades: list[Trade] = field(default_factory=list)
    busts: dict[tuple[str, int], int] = field(default_factory=dict)
    """Instrument and number of a busted trade -> the seq of its bust."""
    facts: list[tuple[Any, ...]] = field(default_factory=list)

    def entries(self) -> list[Entry]:
        """Trades and busts."""
        found: list[Entry] = list(self.trades)
        for trade in self.trades:
            if (seq := self.busts.get((trade.instrument, trade.number))) is not None:
                found.append(Bust(seq, trade))
        return sorted(found, key=lambda entry: (entry.instrument, entry.seq))

    def bust_of(self, entry: Entry) -> int | None:
        """The seq of a trade's bust."""
        return self.busts.get((entry.instrument, entry.number)) if isinstance(entry, Trade) else None


_units = st.one_of(st.integers(1, 10**6), st.integers(1, LARGEST))
_fees = st.one_of(st.just(0), st.integers(-(10**12), 10**14))


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Trades and busts in three markets that share assets; cycles, wrong and repeated facts, outcomes."""
    history = History()
    ends = dict.fromkeys(MARKETS, 0)
    for name, (base, quote) in MARKETS.items():
        open_trades: list[Trade] = []
        for number in range(1, draw(st.integers(0, 8)) + 1):
            # Several trades may share a report's seq; other reports take seqs as well.
            ends[name] += draw(st.integers(0 if number > 1 and not history.busts else 1, 2))
            parties = [draw(st.sampled_from(CLIENTS)) for _ in range(2)]
            numbers = [draw(_units), draw(_units), *parties, draw(_fees), draw(_fees)]
            open_trades.append(Trade(name, ends[name], number, base, quote, *numbers))
            history.trades.append(open_trades[-1])
            if draw(st.integers(0, 3)) == 0:
                busted = open_trades.pop(draw(st.integers(0, len(open_trades) - 1)))
                ends[name] += draw(st.integers(1, 2))
                history.busts[name, busted.number] = ends[name]
    for number in range(1, draw(st.integers(1, 5)) + 1):
        history.facts.append(("settle", f"key-{number}"))
        for _ in range(draw(st.integers(0, 2))):
            history.facts.append(("settle", f"key-{draw(st.integers(1, number))}"))
        for cycle in [number, *draw(st.lists(st.integers(0, 6), max_size=2))]:
            cutoffs = {name: draw(st.integers(0, end)) for name, end in ends.items() if draw(st.booleans())}
            history.facts.append(("close", cycle, cutoffs))
        for _ in range(draw(st.integers(0, 3))):
            instruction = draw(st.one_of(st.none(), st.integers(1, 6)))
            decision = draw(st.sampled_from(["settled", "failed"]))
            history.facts.append(("outcome", draw(st.integers(0, number)), instruction, decision))
    return history


class Cleared:
    """The history through the real ledger."""

    def __init__(self, history: History) -> None:
        self.history, self.cycles, self.ledger = history, Cycles(), Ledger()
        self.closed: dict[int, Closed] = {}
        self.netted: dict[int, Netted] = {}
        for fact, *values in history.facts:
            self._take(fact, *values)

    def _take(self, fact: str, *values: Any) -> None:
        if fact == "settle":
            self.cycles.settle(*values)
        elif fact == "close" and (closed := self.cycles.close(*values)):
            self._net(closed)
        elif fact == "outcome" and (decided := self.cycles.decide(*values)):
            self.ledger.decide(decided)

    def entries_of(self, cycle: int) -> list[Entry]:
        """Those whose seq is in its ranges."""
        ranges = self.closed[cycle].ranges
        return [
            e
            for e in self.history.entries()
            if ranges.get(e.instrument, (0, 0))[0] < e.seq <= ranges.get(e.instrument, (0, 0))[1]
        ]

    def statement(self, client: str, cycle: int) -> Statement:
        """What the cycle did to this client."""
        mine = {asset: o for (owner, asset), o in self.netted[cycle].obligations.items() if owner == client}
        found = []
        for entry in self.entries_of(cycle):
            row, trade, sign = ("bust", entry.trade, -1) if isinstance(entry, Bust) else ("trade", entry, 1)
            for side, party, fee in (("buy", trade.buyer, trade.buyer_fee), ("sell", trade.seller, trade.seller_fee)):
                if party == client:
                    numbers = [text(units * (ONE // UNITS_PER_ONE)) for units in (trade.price, trade.quantity)]
                    name = f"{trade.instrument}-{trade.number}"
                    line = EntryLine(
                        row, entry.seq, name, trade.instrument, side, *numbers, text(sign * fee), time_of(entry.seq)
                    )
                    found.append((trade.instrument, entry.seq, trade.number, side, line))
        return Statement(client, cycle, mine, [line for *_, line in sorted(found)])

    def _net(self, closed: Closed) -> None:
        self.closed[closed.cycle] = closed
        netting = Netting(closed.ranges)
        for entry in self.entries_of(closed.cycle):
            netting.add(entry, self.history.bust_of(entry))
        netted = self.netted[closed.cycle] = self.ledger.net(netting)
        clients = {client for client, _ in netted.obligations}
        self.ledger.seal(closed, netted, {client: self.statement(client, closed.cycle).digest() for client in clients})


def naive(history: History) -> NaiveLedger:
    """The history through the naive ledger."""
    ledger = NaiveLedger(
        [
            NaiveTrade(
                *trade[:5],
                Fraction(trade.price, UNITS_PER_ONE),
                Fraction(trade.quantity, UNITS_PER_ONE),
                trade.buyer,
                trade.seller,
                Fraction(trade.buyer_fee, ONE),
                Fraction(trade.seller_fee, ONE),
                (bust := history.busts.get((trade.instrument, trade.number))),
                time_of(trade.seq),
                "" if bust is None else time_of(bust),
            )
            for trade in history.trades
        ]
    )
    for fact, *values in history.facts:
        {"settle": ledger.settle, "close": ledger.close, "outcome": ledger.decide}[fact](*values)
    return ledger


def time_of(seq: int) -> str:
    """The time of the report with this seq."""
    return f"1970-01-01T00:00:00.{seq:03d}Z"
