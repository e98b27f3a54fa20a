"""The judge of bars (O8) finds honest ones right and names each planted difference; everything is in memory."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from app.analytics import history
from app.candles import Candles
from app.engine import Partition
from app.kafka.reading import LogRecord
from app.matching.versions import NEWEST_VERSION
from app.matching.words import OrderType, Side
from app.models.candles import encode_update
from app.models.commands import BustTrade, Genesis, ListInstrument, PassTime, PlaceOrder, encode_command
from app.models.reports import encode
from app.verification import bars as judged
from app.verification.bars import BarsJudge
from app.verification.findings import Findings
from app.verification.rows import compare
from tables.candles.subjects import Subjects, codec
from tables.candles.verification import ReplayedCandles
from tables.recovery.changelog import Named, manifest_key, manifest_value
from tables.recovery.verification import ChangelogStates

LOG, NAME, START_MS = "00000000-0000-4000-8000-000000000001", "BTC-USD", 1_735_689_540_000
Lie = Callable[["Told"], None]


class Told:
    """What a venue says: reports, updates, the records of the changelog, and how far Postgres is."""

    def __init__(self) -> None:
        self.reports = [LogRecord(offset, 0, NAME.encode(), value) for offset, value in enumerate(_reports())]
        self.updates: list[LogRecord] = []
        self.changelog: dict[bytes, bytes | None] = {}
        candles, blocks = Candles(lambda name, number: blocks[number]), dict[int, Any]()
        for record in self.reports:
            output = candles.apply(record.offset, record.value)
            assert output is not None
            if output.update is not None:
                self.updates.append(LogRecord(len(self.updates), 0, NAME.encode(), encode_update(output.update)))
            if record.offset in (20, 55):
                frozen = Subjects(candles, LOG)[NAME].freeze()
                for number in range(frozen.end_block):
                    self.changelog[f"{NAME}#{number}".encode()] = frozen.block_value(number)
                self.changelog |= dict(frozen.snapshot_records(NAME))
                named = {NAME: Named(frozen.offset, frozen.seq, len(self.updates))}
                floor = frozen.offset + 1
                self.changelog[manifest_key(floor)] = manifest_value(floor, LOG, named, len(self.updates))
            blocks |= candles.markets[NAME].market.history.fresh
        self.rows: dict[str, dict[Any, dict[str, Any]]] | None = None

    def judge(self) -> tuple[Findings, BarsJudge]:
        """What is found."""
        findings = Findings()
        states = ChangelogStates(0, LOG, findings, codec(LOG), lambda c: ReplayedCandles(c, LOG), outputs="candles")
        states.read((key, value) for key, value in self.changelog.items())
        states.all_read()
        judge = BarsJudge(0, findings, states, recorded=len(self.updates))
        judge.reports(self.reports[:30])
        judge.show(self.updates)
        judge.reports(self.reports[30:])
        judge.end_of_reports(len(self.updates))
        judge.end()
        return findings, judge


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(history, "BLOCK", 8)
    monkeypatch.setattr("app.models.candle_snapshots.BLOCK", 8)
    yield


def _reports() -> list[bytes]:
    """Sixty commands: trades over some minutes, a tick, and a bust of an old trade."""
    partition, found = Partition(0, 1), list[bytes]()
    sizes = {"base_asset": "BTC", "quote_asset": "USD", "tick_size": "0.01", "lot_size": "0.0001"}
    listing = ListInstrument(instrument=NAME, command_id="list", **sizes)
    commands: list[Any] = [Genesis(LOG, engine_version=NEWEST_VERSION), listing]
    for n in range(56):
        side, price = (Side.SELL, f"10{n % 3}.00") if n % 2 == 0 else (Side.BUY, "103.00")
        order = {"type": OrderType.LIMIT, "price": price, "quantity": f"{n % 5 + 1}.5", "side": side}
        commands.append(PlaceOrder(instrument=NAME, client_id=f"c{n % 2}", client_order_id=f"k{n}", **order))
    commands += [BustTrade(instrument=NAME, command_id="bust", trade_id=f"{NAME}-2", reason="wrong"), PassTime(NAME)]
    for offset, command in enumerate(commands):
        key = NAME.encode() if offset else None
        output = partition.apply(offset, START_MS + offset * 7_000, key, encode_command(command))
        found += [encode(report) for report in output.reports] if output else []
    return found


def test_honest_bars_are_right() -> None:
    """Topic, changelog and definition agree; snapshots, blocks and a bust are among them."""
    findings, judge = Told().judge()
    assert (findings.bars.first, findings.states.first, findings.origin.first) == (None, None, None)
    assert findings.bars.compared > 10 and findings.states.compared > 4
    rows = judge.rows()
    assert any(row["revision"] == 1 and row["closed"] for row in rows["candles"].values())
    assert rows["tickers"][NAME,]["trades"] > 10


def _change(told: Told, at: int, change: Callable[[dict[str, Any]], None]) -> None:
    message = msgspec.json.decode(told.updates[at].value)
    change(message)
    told.updates[at] = told.updates[at]._replace(value=msgspec.json.encode(message))


def alter_a_volume(told: Told) -> None:
    """Of one bar of one update."""
    _change(told, 7, lambda message: message["bars"][3].update(volume="1.0001"))


def alter_a_ticker(told: Told) -> None:
    """Of one update."""
    _change(told, 7, lambda message: message["ticker"].update(vwap="1.00000000"))


def lose_an_update(told: Told) -> None:
    """The one after it says what came before."""
    del told.updates[5]


def lose_the_last_update(told: Told) -> None:
    """A snapshot covers it."""
    covered = [n for n, record in enumerate(told.updates) if msgspec.json.decode(record.value)["seq"] <= 55]
    del told.updates[covered[-1] :]


def add_an_update(told: Told) -> None:
    """After the last one."""
    message = msgspec.json.decode(told.updates[-1].value)
    message |= {"seq": message["seq"] + 1, "prev_seq": message["seq"]}
    told.updates.append(told.updates[-1]._replace(offset=len(told.updates), value=msgspec.json.encode(message)))


def repeat_an_update_otherwise(told: Told) -> None:
    """A repeat has the same bytes."""
    message = msgspec.json.decode(told.updates[3].value) | {"time": 1}
    told.updates.append(told.updates[3]._replace(offset=len(told.updates), value=msgspec.json.encode(message)))


def use_another_key(told: Told) -> None:
    """It would be in another partition."""
    told.updates[3] = told.updates[3]._replace(key=b"ETH-USD")


def alter_a_snapshot(told: Told) -> None:
    """One byte."""
    key = f"{NAME}@20".encode()
    value = told.changelog[key]
    assert value is not None
    told.changelog[key] = value[:-9] + b"0" + value[-8:]


def alter_a_block(told: Told) -> None:
    """One byte."""
    key = f"{NAME}#1".encode()
    value = told.changelog[key]
    assert value is not None
    told.changelog[key] = value[:-9] + b"0" + value[-8:]


def lose_a_block(told: Told) -> None:
    """A bust may need it."""
    told.changelog[f"{NAME}#1".encode()] = None


LIES: list[tuple[Lie, str]] = [
    (alter_a_volume, 'volume is "1.0001", but should be'),
    (alter_a_ticker, "ticker.vwap is"),
    (lose_an_update, "jumps from seq"),
    (lose_the_last_update, "but should end at"),
    (add_an_update, "which its reports do not give"),
    (repeat_an_update_otherwise, "is repeated with other bytes"),
    (use_another_key, "has the key b'ETH-USD'"),
    (alter_a_snapshot, "BTC-USD@20: wrong checksum"),
    (alter_a_block, "BTC-USD#1 cannot be read"),
    (lose_a_block, "needs the block BTC-USD#1"),
]


@pytest.mark.parametrize(("lie", "sentence"), LIES, ids=lambda value: getattr(value, "__name__", None))
def test_a_planted_difference_has_its_sentence(lie: Lie, sentence: str) -> None:
    """The first thing that is said leads to the place."""
    told = Told()
    lie(told)
    findings, _ = told.judge()
    found = [finding.first for finding in (findings.bars, findings.states) if finding.first is not None]
    assert any(sentence in first for first in found), found


@pytest.mark.parametrize("column", ["open", "volume", "seq", "closed", "revision", "close_time", "first_trade_seq"])
def test_a_changed_column_is_named(column: str) -> None:
    """Of a row in Postgres."""
    _, judge = Told().judge()
    rows = judge.rows()["candles"]
    key = next(iter(rows))
    wrong = rows[key] | {column: None}
    sentences = list(compare("candles", [wrong], {key: rows[key]}, judged.KEYS["candles"]))
    assert len(sentences) == 1 and f": {column} is None" in sentences[0]


def test_a_fold_that_is_wrong_everywhere_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker and judge share app/analytics; the definition does not."""
    honest = judged.candle

    def wrong(state: Any, scale: Any) -> Any:
        found = honest(state, scale)
        return msgspec.structs.replace(found, high=found.low)

    monkeypatch.setattr("app.models.candles.candle", wrong)
    monkeypatch.setattr(judged, "candle", wrong)
    findings, _ = Told().judge()
    assert findings.bars.first is not None and ": high is 10" in findings.bars.first
