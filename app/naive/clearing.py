"""The naive ledger: docs/CLEARING.md read aloud, with dicts and Fractions, to check the real one with.

It imports nothing of ours. Amounts are Fractions of an asset; entries and facts are plain tuples.
"""

from fractions import Fraction
from hashlib import sha256
from typing import Any, NamedTuple


class NaiveTrade(NamedTuple):
    """A trade in whole assets; `bust_seq` is the seq of its bust, if it was busted."""

    instrument: str
    seq: int
    number: int
    base: str
    quote: str
    price: Fraction
    quantity: Fraction
    buyer: str
    seller: str
    buyer_fee: Fraction
    seller_fee: Fraction
    bust_seq: int | None = None
    time: str = ""
    bust_time: str = ""


class NaiveLedger:
    """All trades are known; facts come one after the other in the order of the topic."""

    def __init__(self, trades: list[NaiveTrade]) -> None:
        self.trades = trades
        self.keys: list[str] = []
        self.vectors: list[dict[str, int]] = []
        """The cutoffs of each closed cycle, of every instrument that any cycle has named so far."""
        self.obligations: list[dict[tuple[str, str], dict[str, Fraction]]] = []
        self.instructions: list[list[dict[str, Any]]] = []
        self.seals: list[str] = []
        self._sealed_outcomes: list[tuple[int, int, str]] = []

    def settle(self, key: str, cutoff_time: int | None = None, log_time: int = 0) -> None:
        """Somebody asks for a cycle, with a cutoff time or without; times are in ms."""
        if cutoff_time is not None and cutoff_time - log_time > 60 * 1000:
            return
        if key not in self.keys:
            self.keys.append(key)

    def close(self, cycle: int, cutoffs: dict[str, int]) -> None:
        """Somebody says what a cycle's cutoffs are; its numbers follow at once."""
        if cycle != len(self.vectors) + 1 or cycle > len(self.keys):
            return
        before = self.vectors[-1] if self.vectors else {}
        names = set(before) | set(cutoffs)
        self.vectors.append({name: max(before.get(name, 0), cutoffs.get(name, 0)) for name in names})
        self._net(cycle)

    def decide(self, cycle: int, instruction: int | None, decision: str) -> None:
        """Somebody says that one instruction, or each that is pending, was settled or failed."""
        if not 1 <= cycle <= len(self.vectors):
            return
        for number, found in enumerate(self.instructions[cycle - 1], 1):
            if found["state"] == "pending" and instruction in (None, number):
                found["state"] = decision
                self._sealed_outcomes.append((cycle, number, decision))

    def state(self, cycle: int) -> str:
        """Of a cycle that was asked for."""
        if cycle > len(self.vectors):
            return "open"
        pending = [found for found in self.instructions[cycle - 1] if found["state"] == "pending"]
        return "netted" if pending else "settled"

    def cycle_of(self, instrument: str, seq: int) -> int | None:
        """The cycle that owns this seq."""
        for number, vector in enumerate(self.vectors, 1):
            if seq <= vector.get(instrument, 0):
                return number
        return None

    def statement(self, client: str, cycle: int) -> list[str]:
        """The lines of its CSV."""
        mine = {asset: found for (owner, asset), found in self.obligations[cycle - 1].items() if owner == client}
        lines = ["row,seq,trade_id,instrument,side,price,quantity,fee,time,asset,amount"]
        lines += [f"opening,,,,,,,,,{asset},{plain(mine[asset]['opening'])}" for asset in sorted(mine)]
        found = []
        for trade in self.trades:
            for row, seq, sign, time in (
                ("trade", trade.seq, 1, trade.time),
                ("bust", trade.bust_seq, -1, trade.bust_time),
            ):
                if seq is None or self.cycle_of(trade.instrument, seq) != cycle:
                    continue
                for side, party, fee in (
                    ("buy", trade.buyer, trade.buyer_fee),
                    ("sell", trade.seller, trade.seller_fee),
                ):
                    if party == client:
                        name = f"{trade.instrument}-{trade.number}"
                        numbers = f"{plain(trade.price)},{plain(trade.quantity)},{plain(sign * fee)}"
                        line = f"{row},{seq},{name},{trade.instrument},{side},{numbers},{time},,"
                        found.append((trade.instrument, seq, trade.number, side, line))
        lines += [line for *_, line in sorted(found)]
        for asset in sorted(mine):
            for name in ("gross_in", "gross_out", "fees", "carried", "net", "closing"):
                lines.append(f"{name},,,,,,,,,{asset},{plain(mine[asset][name])}")
        return lines

    def _net(self, cycle: int) -> None:
        found: dict[tuple[str, str], dict[str, Fraction]] = {}

        def book(client: str, asset: str, name: str, amount: Fraction) -> None:
            sums = found.setdefault(
                (client, asset),
                {"gross_in": Fraction(0), "gross_out": Fraction(0), "fees": Fraction(0), "carried": Fraction(0)},
            )
            sums[name] += amount

        for trade in self.trades:
            traded = self.cycle_of(trade.instrument, trade.seq) == cycle
            busted = trade.bust_seq is not None and self.cycle_of(trade.instrument, trade.bust_seq) == cycle
            cost = trade.price * trade.quantity
            if traded and not busted:
                book(trade.buyer, trade.base, "gross_in", trade.quantity)
                book(trade.buyer, trade.quote, "gross_out", cost)
                book(trade.buyer, trade.quote, "fees", trade.buyer_fee)
                book(trade.seller, trade.base, "gross_out", trade.quantity)
                book(trade.seller, trade.quote, "gross_in", cost)
                book(trade.seller, trade.quote, "fees", trade.seller_fee)
            if busted and not traded:
                book(trade.buyer, trade.base, "gross_out", trade.quantity)
                book(trade.buyer, trade.quote, "gross_in", cost)
                book(trade.buyer, trade.quote, "fees", -trade.buyer_fee)
                book(trade.seller, trade.base, "gross_in", trade.quantity)
                book(trade.seller, trade.quote, "gross_out", cost)
                book(trade.seller, trade.quote, "fees", -trade.seller_fee)
        for earlier in self.instructions:
            for instruction in earlier:
                if instruction["state"] == "failed" and not instruction["carried"]:
                    instruction["carried"] = True
                    book(instruction["client"], instruction["asset"], "carried", instruction["amount"])
        for (client, asset), sums in found.items():
            closings = [earlier[client, asset]["closing"] for earlier in self.obligations if (client, asset) in earlier]
            sums["opening"] = closings[-1] if closings else Fraction(0)
            moved = sums["gross_in"] - sums["gross_out"] - sums["fees"]
            sums["net"], sums["closing"] = moved + sums["carried"], sums["opening"] + moved
        self.obligations.append(found)
        self.instructions.append(
            [
                {
                    "client": client,
                    "asset": asset,
                    "amount": found[client, asset]["net"],
                    "state": "pending",
                    "carried": False,
                }
                for client, asset in sorted(found)
                if found[client, asset]["net"] != 0
            ]
        )
        self._seal(cycle)

    def _seal(self, cycle: int) -> None:
        lines = [f"cycle,{cycle},{self.seals[-1] if self.seals else '0' * 64}"]
        before = self.vectors[cycle - 2] if cycle > 1 else {}
        for name, to in sorted(self.vectors[-1].items()):
            if to > before.get(name, 0):
                lines.append(f"range,{name},{before.get(name, 0)},{to}")
        lines += [f"outcome,{a},{b},{c}" for a, b, c in sorted(self._sealed_outcomes)]
        self._sealed_outcomes = []
        names = ("gross_in", "gross_out", "fees", "carried", "net", "opening", "closing")
        for (client, asset), sums in sorted(self.obligations[-1].items()):
            lines.append(f"obligation,{client},{asset}," + ",".join(plain(sums[name]) for name in names))
        for client in sorted({client for client, _ in self.obligations[-1]}):
            lines.append(f"statement,{client},{chained(self.statement(client, cycle))}")
        self.seals.append(chained(lines))


def chained(lines: list[str]) -> str:
    """SHA-256 over the digest so far and the next line, again and again, from 32 zero bytes."""
    digest = b"\0" * 32
    for line in lines:
        digest = sha256(digest + line.encode()).digest()
    return digest.hex()


def plain(number: Fraction) -> str:
    """A fraction with a finite decimal text, written out."""
    digits, places = number, 0
    while digits.denominator != 1:
        digits, places = digits * 10, places + 1
    whole = str(abs(digits.numerator)).rjust(places + 1, "0")
    sign = "-" if number < 0 else ""
    return sign + (f"{whole[:-places]}.{whole[-places:]}" if places else whole)
