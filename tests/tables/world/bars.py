"""The candles table in a schedule: the reports of a market that trades, some repeated, and busts of old trades."""

import json
import random
from collections.abc import Iterable
from typing import Any

from app.analytics.history import Block
from app.candles import Candles
from app.engine import Partition
from app.models.candle_snapshots import decode_trades
from app.models.candles import encode_update
from app.models.reports import encode
from tables.candles.subjects import Subjects, codec
from tables.recovery.changelog import block_key, parse
from tests.tables.world.log import GENESIS, LOG_ID, Applied, LogRecord, Reference

MARKETS = ("A-X", "B-X")
COMMANDS = 22


class Worker:
    """The bars of a worker, and its RocksDB."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}
        self.candles = Candles(self._read)

    def _read(self, instrument: str, number: int) -> Block:
        return decode_trades(self.kept[block_key(instrument, number)], number)


class Bars:
    """The candles table."""

    names = MARKETS
    codec = codec(LOG_ID)

    def make_log(self, rng: random.Random) -> list[LogRecord]:
        """Reports; now and then some come again, as a matching worker writes them after a crash."""
        reports, log = _reports(rng), list[LogRecord]()
        for at, report in enumerate(reports, 1):
            log.append(report)
            if rng.random() < 0.1:
                log += reports[max(0, at - rng.randint(1, 4)) : at]
        return log

    def new(self) -> Worker:
        return Worker()

    def subjects(self, partition: Worker) -> Subjects:
        return Subjects(partition.candles, LOG_ID)

    def apply(self, partition: Worker, offset: int, record: LogRecord) -> Applied | None:
        output = partition.candles.apply(offset, record.value)
        if output is None:
            return None
        update = output.update
        return Applied(output.instrument, [] if update is None else [(update.seq, encode_update(update))], output)

    def shown(self, partition: Worker, records: Iterable[tuple[bytes, bytes | None]]) -> None:
        """As tables/candles/owned.py: RocksDB then keeps the blocks."""
        for text, value in records:
            key = parse(text)
            if key is not None and key.block is not None and value is not None:
                partition.kept[text] = value
                partition.candles.stored(key.name, key.block)

    def meet(self, reference: Reference, applied: Applied, log: list[LogRecord]) -> None:
        update = applied.raw.update
        if update is None:
            reference.met["trades that wait"] += 1
        elif any(bar.revision and bar.closed for bar in update.bars):
            reference.met["a closed bar restated"] += 1


def _reports(rng: random.Random) -> list[LogRecord]:
    partition, found, clock, trades = Partition(0, 1), list[LogRecord](), 1_000, dict.fromkeys(MARKETS, 0)
    partition.apply(0, clock, None, json.dumps(GENESIS).encode())
    for n in range(1, COMMANDS + 1):
        x = MARKETS[n - 1] if n <= len(MARKETS) else rng.choice("AAB") + "-X"
        clock += rng.choice((0, 100, 260, 20_000, 70_000, 4_000_000))
        command = _command(rng, x, n, trades[x]) if n > len(MARKETS) else _list(x, n)
        output = partition.apply(n, clock, x.encode(), json.dumps(command).encode())
        assert output is not None
        trades[x] += len(output.trades)
        found += [LogRecord(x.encode(), clock, encode(report)) for report in output.reports]
    return found


def _list(x: str, n: int) -> dict[str, Any]:
    sizes = {"base_asset": x[0], "quote_asset": "X", "tick_size": "1", "lot_size": "0.5"}
    return {"command": "list", "instrument": x, "command_id": f"k{n}"} | sizes


def _command(rng: random.Random, x: str, n: int, trades: int) -> dict[str, Any]:
    dice = rng.random()
    if trades and dice > 0.8:
        trade = f"{x}-{rng.randint(1, trades)}"
        return {"command": "bust", "instrument": x, "command_id": f"k{n}", "trade_id": trade, "reason": "wrong"}
    if dice > 0.7:
        return {"command": "tick", "instrument": x}
    order = {"command": "place", "instrument": x, "client_id": f"c{n % 2}", "client_order_id": f"k{n}"}
    terms = {"type": "limit", "side": rng.choice(("buy", "sell")), "price": rng.choice("12"), "quantity": "1.5"}
    return order | terms | {"self_trade_prevention": "none"}
