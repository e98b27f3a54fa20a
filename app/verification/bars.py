"""Compares bars and tickers with what the reports of a partition give: topic, changelog and Postgres (O8). Pure.

The reports are those of `executions`, which O2 compares with the log. They are folded twice: by app/analytics, whose
updates and snapshots must be those of the topic and the changelog byte for byte, and from the definition, trade by
trade. The judge holds each bar once, some 500 bytes.
"""

import tempfile
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import lru_cache
from typing import Any, Protocol

from msgspec import to_builtins

from app.analytics.history import Block
from app.candles import Candles
from app.kafka.reading import LogRecord
from app.matching.words import Side
from app.models.candle_snapshots import decode_trades, encode_trades
from app.models.candles import (
    Candle,
    CandlesUpdate,
    ReportLine,
    Ticker,
    candle,
    decode_update_head,
    encode_update,
    read_line,
)
from app.models.decimals import UNITS_PER_ONE, units
from app.models.undecodable import UNDECODABLE
from app.naive.candles import MINUTES, NaiveTrade, figures, opened
from app.verification.effective import difference
from app.verification.findings import Findings
from app.verification.rows import Key, Row
from app.verification.states import States

KEYS: dict[str, tuple[str, ...]] = {
    "candles": ("instrument", "interval", "open_time"),
    "tickers": ("instrument",),
}
BarKey = tuple[str, str, int]
MINUTE_MS = 60_000


class BarStates(States[Candles], Protocol):
    """Durable states of the candles table."""

    @property
    def has_manifest(self) -> bool:
        """Whether a worker has written any."""


class _Expected:
    """An update that the reports give, and the offset of its report."""

    __slots__ = ("offset", "update", "value")

    def __init__(self, update: CandlesUpdate, offset: int) -> None:
        self.update, self.value, self.offset = update, encode_update(update), offset


class BarsJudge:
    """Judges one partition. `recorded`: Postgres has recorded `candles` below this offset; None without Postgres."""

    def __init__(self, number: int, findings: Findings, states: BarStates | None, recorded: int | None) -> None:
        self._name, self._finding, self._states, self._recorded = f"candles[{number}]", findings.bars, states, recorded
        self._blocks = _Blocks()
        self._candles = Candles(self._blocks.read)
        self._definition = _Definition()
        self._given: dict[str, deque[_Expected]] = {}
        self._shown: deque[LogRecord] = deque()
        self._seen: dict[str, dict[int, int]] = {}
        """Instrument -> the hash of each effective update by its seq, for repeats."""
        self._seqs: dict[str, int] = {}
        self._lost: set[str] = set()
        self._reports_have_ended = self._is_late = False
        self._bars: dict[BarKey, Candle] = {}
        self._recorded_bars: dict[BarKey, Candle] = {}
        self._recorded_tickers: dict[str, tuple[int, Ticker]] = {}

    @property
    def wants_records(self) -> bool:
        """Whether updates wait to be compared and the topic must be read further."""
        return not self._shown and any(self._given.values())

    @property
    def is_waiting(self) -> bool:
        """Whether an update that the reports give has not been shown."""
        return any(queue for name, queue in self._given.items() if name not in self._lost)

    def reports(self, records: Iterable[LogRecord]) -> None:
        """Take in the next records of `executions`."""
        for record in records:
            if self._states is not None:
                self._states.before(record.offset, self._candles)
            try:
                line = read_line(record.value)
            except UNDECODABLE:
                continue  # O2 has named it
            output = (
                None if line is None or line.instrument.startswith("_") else self._candles.take(record.offset, line)
            )
            if line is None or output is None:
                continue
            self._definition.add(line)
            if self._states is not None:
                self._states.after(output.instrument, record.offset, self._candles)
            self._blocks.keep(output.instrument, self._candles)
            if output.update is not None:
                self._give(output.update, record.offset)
        self._compare()

    def show(self, records: Iterable[LogRecord]) -> None:
        """Take in the next records of `candles`."""
        self._shown.extend(records)
        self._compare()

    def show_late(self, records: Iterable[LogRecord]) -> None:
        """Take in records from beyond the topic's end as first seen: missing ones may be there; ignore the others."""
        self._is_late = True
        self.show(records)

    def end_of_reports(self, updates: int) -> None:
        """There are no more reports; `candles` ended at `updates` before their end was known."""
        self._reports_have_ended = True
        self._compare()
        if self._states is not None:
            self._states.end(self._candles, updates)

    def end(self) -> int:
        """Compare the bars with their definition; returns how many updates are missing that nobody requires yet."""
        missing = 0
        for name, queue in sorted(self._given.items()):
            required = [e for e in queue if self._states is not None and self._states.cover(name, e.offset)]
            if required and name not in self._lost:
                seq, last = required[-1].update.seq, self._seqs.get(name, 0)
                self._complain(f"{name} ends at seq {last}, but should end at {seq} by the log")
            elif name not in self._lost:
                missing += len(queue)
        for sentence in self._definition.differences(self._candles, self._bars | self._open_bars()):
            self._finding.complain(sentence)
        self._blocks.close()
        return missing

    def rows(self) -> dict[str, dict[Key, Row]]:
        """Table -> the rows that Postgres must have."""
        bars = {key: {"instrument": key[0], **to_builtins(bar)} for key, bar in self._recorded_bars.items()}
        tickers = {
            (name,): {"instrument": name, "seq": seq, **to_builtins(ticker)}
            for name, (seq, ticker) in self._recorded_tickers.items()
        }
        return {"candles": dict(bars), "tickers": dict(tickers)}

    def _open_bars(self) -> dict[BarKey, Candle]:
        return {
            (name, state.interval.value, state.open_ms): candle(state, listed.scale)
            for name, listed in self._candles.markets.items()
            for state in listed.market.bars()
        }

    def _give(self, update: CandlesUpdate, offset: int) -> None:
        self._bars |= _by_key(update)
        self._given.setdefault(update.instrument, deque()).append(_Expected(update, offset))

    def _compare(self) -> None:
        while self._shown and self._judge(self._shown[0]):
            self._shown.popleft()
            self._finding.compared += 1

    def _judge(self, record: LogRecord) -> bool:
        """Compare a record; returns False if it must wait until the reports have given its counterpart."""
        value = record.value or b""
        try:
            head = decode_update_head(value)
        except UNDECODABLE as error:
            return self._wrong(record, f"is unreadable: {error}")
        name, last = head.instrument, self._seqs.get(head.instrument, 0)
        if name in self._lost:
            return True
        if record.key != name.encode():
            return self._wrong(record, f"has the key {record.key!r}, but its instrument is {name}")
        if head.seq <= last:
            is_same = self._seen[name].get(head.seq) == hash(value)
            return is_same or self._wrong(record, f"{name} seq {head.seq} is repeated with other bytes")
        if head.prev_seq > last and self._is_late:
            return True
        if head.prev_seq > last:
            return self._wrong(record, f"{name} jumps from seq {last} to what follows {head.prev_seq}", lost=name)
        queue = self._given.get(name)
        if not queue:
            if not self._reports_have_ended or self._is_late:
                return self._is_late
            return self._wrong(record, f"{name} has seq {head.seq}, which its reports do not give", lost=name)
        self._next(record, queue.popleft(), value)
        return True

    def _next(self, record: LogRecord, expected: _Expected, value: bytes) -> None:
        update = expected.update
        name = update.instrument
        self._seqs[name] = update.seq
        self._seen.setdefault(name, {})[update.seq] = hash(value)
        if self._states is not None:
            self._states.heard(name, update.prev_seq + 1, record.offset)
        if self._recorded is not None and record.offset < self._recorded:
            self._recorded_bars |= _by_key(update)
            self._recorded_tickers[name] = update.seq, update.ticker
        if value != expected.value:
            self._wrong(record, f"{name} seq {update.seq}: {difference(value, expected.value)} by the log")

    def _wrong(self, record: LogRecord, sentence: str, lost: str | None = None) -> bool:
        self._complain(f"@{record.offset}: {sentence}", separator="")
        if lost is not None:
            self._lost.add(lost)
        return True

    def _complain(self, sentence: str, separator: str = ": ") -> None:
        self._finding.complain(f"{self._name}{separator}{sentence}")


class _Blocks:
    """Complete blocks of trades, in a temporary file, so that memory does not grow with them."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="matchstream-verify-")  # noqa: SIM115 - lives as long as this
        self._places: dict[tuple[str, int], tuple[int, int]] = {}

    def close(self) -> None:
        """Delete the temporary file."""
        self._file.close()

    def keep(self, instrument: str, candles: Candles) -> None:
        """Take over the market's new blocks."""
        for number, block in [*candles.markets[instrument].market.history.fresh.items()]:
            value = encode_trades(block)
            self._places[instrument, number] = self._file.seek(0, 2), len(value)
            self._file.write(value)
            candles.stored(instrument, number)

    def read(self, instrument: str, number: int) -> Block:
        """A block that was kept."""
        place, size = self._places[instrument, number]
        self._file.seek(place)
        return decode_trades(self._file.read(size), number)


class _Definition:
    """Bars by their definition (app/naive/candles.py), summed up trade by trade: prices and quantities in units."""

    def __init__(self) -> None:
        self._sums: dict[BarKey, list[int]] = {}
        self._busts: dict[str, dict[int, int]] = {}
        self._times: dict[str, int] = {}

    def add(self, line: ReportLine) -> None:
        """Take in the next report of its instrument."""
        name = line.instrument
        time = self._times[name] = max(line.time, self._times.get(name, 0))
        if line.bust is not None:
            self._busts.setdefault(name, {})[line.bust.trade_seq] = line.seq
        for trade in line.trades:
            price, quantity = units(trade.price), units(trade.quantity)
            bought = quantity if trade.aggressor_side is Side.BUY else 0
            for interval, begin in _begins(time // MINUTE_MS):
                found = self._sums.get((name, interval, begin))
                if found is None:
                    found = self._sums[name, interval, begin] = [price, price, price, 0, 0, 0, 0, 0, 0, trade.seq, 0]
                found[1], found[2], found[3] = max(found[1], price), min(found[2], price), price
                found[4] += quantity
                found[5] += price * quantity
                found[6] += 1
                found[7] += bought
                found[8] += price * bought
                found[10] = trade.seq

    def differences(self, candles: Candles, bars: dict[BarKey, Candle]) -> Iterator[str]:
        """Each bar that is missing, or is not what its trades say."""
        restated = {key: bar for name in self._busts for key, bar in self._restated(name, candles).items()}
        for key in sorted(self._sums.keys() | bars.keys()):
            found, bar = self._sums.get(key), bars.get(key)
            where = f"bar {key[0]} {key[1]} {key[2]}"
            if found is None or bar is None:
                yield f"{where}: {'is missing' if bar is None else 'has no trades'} by the definition"
                continue
            right = restated.get(key) or _named(found)
            for field, value in right.items():
                mine: Any = getattr(bar, field)
                if (Fraction(mine) if isinstance(mine, str) else mine) != value:
                    yield f"{where}: {field} is {mine}, by its trades {value}"

    def _restated(self, name: str, candles: Candles) -> dict[BarKey, dict[str, Any]]:
        """The bars of busted trades, folded again from the trades that are left."""
        busts, listed = self._busts[name], candles.markets[name]
        history, price, quantity = listed.market.history, listed.scale.price, listed.scale.quantity
        every = [trade for number in range(len(history.sums) + 1) for trade in history.block(number)]
        revisions = Counter(key for number in busts for key in _begins(every[number - 1].time_ms // MINUTE_MS))
        left: dict[tuple[str, int], list[NaiveTrade]] = {key: [] for key in revisions}
        for t in every:
            keys = left.keys() & _begins(t.time_ms // MINUTE_MS) if t.seq not in busts else ()
            if keys:
                side = "buy" if t.taker_buys else "sell"
                trade = NaiveTrade(t.seq, t.time_ms, Fraction(price(t.price)), Fraction(quantity(t.quantity)), side, 0)
                for key in keys:
                    left[key].append(trade)
        return {(name, *key): figures(trades) | {"revision": revisions[key]} for key, trades in left.items()}


@lru_cache(maxsize=4_096)
def _begins(minute: int) -> tuple[tuple[str, int], ...]:
    """Each interval, and when its bar with this minute begins."""
    return tuple((interval, opened(interval, minute * MINUTE_MS)) for interval in MINUTES)


def _named(found: list[int]) -> dict[str, Any]:
    """The sums by the names of a bar's fields, in whole assets."""
    first, high, low, last, volume, amount, count, bought, paid, first_seq, last_seq = found
    prices = {"open": first, "high": high, "low": low, "close": last, "volume": volume, "taker_buy_volume": bought}
    amounts = {"quote_volume": amount, "taker_buy_quote_volume": paid}
    return (
        {name: Fraction(value, UNITS_PER_ONE) for name, value in prices.items()}
        | {name: Fraction(value, UNITS_PER_ONE**2) for name, value in amounts.items()}
        | {"trades": count, "first_trade_seq": first_seq, "last_trade_seq": last_seq, "revision": 0}
    )


def _by_key(update: CandlesUpdate) -> dict[BarKey, Candle]:
    return {(update.instrument, bar.interval.value, bar.open_time): bar for bar in update.bars}
