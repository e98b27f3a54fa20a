"""The report streams of a public benchmark, flash1-dev/matching-engine-benchmark, byte for byte (its README: contract).

In it a modify is a cancel and a new order at the back, and an order id may come again; so each arrival gets an id of
its own here, whose first half is the benchmark's.
"""

import gzip
import json
import lzma
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from app.matching.book import Book
from app.matching.commands import Cancel, List, Listing, Moment, Place, Replace
from app.matching.events import Report
from app.matching.sanity import check
from app.matching.words import OrderType, Outcome, SelfTradePrevention, Side, TimeInForce
from tests.long import LONG
from tests.market_data import data_folder

WORKLOADS = ("normal", "static", "swing-25", "swing-40", "flash-crash")
LISTING = Listing(
    "X",
    "A",
    "B",
    1,
    1,
    max_fills=10**6,
    max_open_orders=10**7,
    max_open_orders_per_client=10**7,
    self_trade_prevention=SelfTradePrevention.NONE,
)
SIDES = {"B": Side.BUY, "S": Side.SELL}
CLIENT = "flash1"


class Replay:
    """The benchmark's messages on our book, and what it says in the benchmark's words."""

    def __init__(self) -> None:
        self.book = Book(LISTING.instrument)
        self.book.apply(List(b"list".ljust(16), 0, LISTING), Moment(0, 0))
        self.current: dict[int, bytes] = {}
        self.arrivals = 0

    def lines(self, rows: Iterable[list[str]]) -> Iterator[str]:
        """Report lines for rows of (kind, side, ioc, quantity, order id, price), whose number is their seq."""
        for seq, (kind, side, ioc, quantity, order_id, price) in enumerate(rows):
            number = int(order_id)
            at = Moment(seq + 1, seq + 1)
            if kind == "C":
                yield self._cancel(seq, side, number, at)
                continue
            new = self._order(number, side, ioc == "1", int(quantity), int(price))
            command = new if kind == "N" else Replace(b"modify%10d" % seq, 0, self.current.get(number, b""), new)
            report = self.book.apply(command, at)
            if report.outcome is Outcome.REJECTED:
                yield f"5,{seq},{order_id}"
                continue
            self.current[number] = new.order_id
            # A new order is acknowledged before its trades, a modified one after them.
            if kind == "N":
                yield f"0,{seq},{'BS'.index(side)},{order_id},{price},{quantity}"
            yield from self._matched(seq, side, order_id, price, report, ioc == "1")
            if kind == "M":
                yield f"3,{seq},{'BS'.index(side)},{order_id},{price},{quantity}"

    def _order(self, number: int, side: str, ioc: bool, quantity: int, price: int) -> Place:
        self.arrivals += 1
        key = number.to_bytes(8, "big") + self.arrivals.to_bytes(8, "big")
        force = TimeInForce.IOC if ioc else TimeInForce.GTC
        return Place(key, 0, CLIENT, "", SIDES[side], OrderType.LIMIT, quantity, price, force)

    def _cancel(self, seq: int, side: str, number: int, at: Moment) -> str:
        report = self.book.apply(Cancel(b"cancel%10d" % seq, 0, self.current.get(number, b"")), at)
        if report.outcome is Outcome.REJECTED:
            return f"4,{seq},{number}"
        return f"2,{seq},{'BS'.index(side)},{number},{report.orders[0].price}"

    def _matched(self, seq: int, side: str, order_id: str, price: str, report: Report, ioc: bool) -> Iterator[str]:
        for trade in report.trades:
            maker = int.from_bytes(trade.maker_order_id[:8], "big")
            yield f"1,{seq},{trade.price},{trade.quantity},{maker},{order_id}"
        states = {state.order_id: state for state in report.orders}
        if ioc and states[self.current[int(order_id)]].remaining:
            yield f"2,{seq},{'BS'.index(side)},{order_id},{price}"


def digest(lines: Iterable[str]) -> str:
    """SHA-256 of the lines joined by newlines."""
    hashed, lines = sha256(), iter(lines)
    hashed.update(next(lines).encode())
    while piece := list(islice(lines, 10_000)):
        hashed.update(("\n" + "\n".join(piece)).encode())
    return hashed.hexdigest()


def manifest(folder: Path) -> dict[str, dict[str, Any]]:
    return json.loads((folder / "manifest.json").read_text())  # type: ignore[no-any-return]


@pytest.mark.parametrize("workload", WORKLOADS)
def test_the_first_reports_are_those_published(workload: str) -> None:
    """20,000 messages of each workload give the published reports, and their hash."""
    folder = data_folder("flash1")
    with gzip.open(folder / f"{workload}_s23_first20000.csv.gz", "rt") as source:
        rows = [line.rstrip().split(",") for line in source][1:]
    with gzip.open(folder / f"{workload}_s23_first20000_reports.txt.gz", "rt") as expected:
        replay = Replay()
        lines = list(replay.lines(row[:4] + row[5:] for row in rows))
        assert lines == expected.read().split("\n")
    assert digest(lines) == manifest(folder)[workload]["prefix_reports_sha256"]
    check(replay.book)


@pytest.mark.skipif(not LONG, reason="takes a minute: in `make faults`")
def test_the_whole_normal_workload_gives_the_published_hash() -> None:
    """Two million messages, 2.2 million reports, one hash."""
    folder = data_folder("flash1")
    with lzma.open(folder / "normal_s23_full.csv.xz", "rt") as source:
        next(source)
        ours = digest(Replay().lines(line.rstrip().split(",") for line in source))
    assert ours == manifest(folder)["normal"]["full_reports_sha256"]
