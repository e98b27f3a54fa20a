"""Recording of bars: each update is in Postgres once, through repeats, gaps and a second recorder (I9)."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from app.candles import Candles
from app.kafka.reading import LogRecord
from app.models.candles import encode_update
from app.models.reports import decode_report, encode
from app.postgres import BarRecorder, PositionMoved, Sink
from app.postgres.schema import migrate
from app.topics import CANDLES
from app.verification.bars import KEYS, BarsJudge
from app.verification.findings import Findings
from app.verification.rows import compare, compare_counts
from tests.postgres.recorded import LOG_ID, Record, market, records, table_rows

KEY = b"BTC-USD"


@pytest.fixture
async def database(database_url: str) -> str:
    """A database with our schema."""
    await asyncio.to_thread(migrate, database_url)
    return database_url


def spaced(seed: int, count: int) -> list[bytes]:
    """Reports of a market, 400 ms after one another, so that most trades have an update of their own."""
    reports = enumerate(map(decode_report, market(seed, count)))
    return [encode(msgspec.structs.replace(report, time=1_000 + 400 * n)) for n, report in reports]


def updates(reports: list[bytes]) -> list[bytes]:
    """What readers are told of these reports."""
    candles = Candles(lambda instrument, number: ())
    outputs = [candles.apply(offset, value) for offset, value in enumerate(reports)]
    return [encode_update(output.update) for output in outputs if output and output.update]


def differences(database_url: str, reports: list[bytes], shown: list[bytes]) -> list[str]:
    """What is wrong in Postgres, if it should hold exactly these updates."""
    findings = Findings()
    judge = BarsJudge(0, findings, None, recorded=len(shown))
    judge.reports(LogRecord(offset, 0, KEY, value) for offset, value in enumerate(reports))
    judge.show(LogRecord(offset, 0, KEY, value) for offset, value in enumerate(shown))
    judge.end_of_reports(len(shown))
    judge.end()
    assert findings.bars.first is None
    lines: list[str] = []
    for table, right in judge.rows().items():
        found = table_rows(database_url, table)
        lines += compare(table, found, right, KEYS[table])
        lines += compare_counts(table, Counter(row["instrument"] for row in found), Counter(key[0] for key in right))
    return lines


@asynccontextmanager
async def recording(database_url: str) -> AsyncIterator[BarRecorder]:
    """A recorder at work."""
    sink = Sink(database_url, CANDLES.name)
    recorder = BarRecorder(sink)
    await recorder.start({0: LOG_ID})
    running = asyncio.create_task(recorder.run())
    try:
        yield recorder
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await sink.close()


async def take(recorder: BarRecorder, batch: list[Record]) -> None:
    """Hand over a batch and wait until it is written."""
    written = asyncio.Event()
    await recorder.append(0, batch, written.set)
    await asyncio.wait_for(written.wait(), 60)


async def test_each_update_is_recorded_once(database: str) -> None:
    """In any pieces, with repeats, by recorders one after the other."""
    reports = spaced(5, 300)
    shown = updates(reports)
    assert len(shown) > 20
    again = [*shown[:12], *shown[6:]]  # a worker of the role has repeated six of them
    async with recording(database) as first:
        await take(first, records(again[:9]))
    async with recording(database) as second:
        assert second.recorded == {0: 9}
        await take(second, records(again[9:20], 9))
        await take(second, records(again[20:], 20))
    assert differences(database, reports, again) == []


async def test_what_comes_after_a_gap_waits_until_it_is_filled(database: str) -> None:
    """The worker that fills it sends everything after it once more."""
    reports = spaced(6, 200)
    shown = updates(reports)
    async with recording(database) as recorder:
        await take(recorder, records([*shown[:5], *shown[8:12]]))
        assert differences(database, reports, shown[:5]) == []
        await take(recorder, records(shown[5:], 9))
    assert differences(database, reports, shown) == []


async def test_a_second_recorder_is_noticed(database: str) -> None:
    """It moved the position: nobody writes a row from an old one."""
    shown = records(updates(spaced(7, 300)))
    sink = Sink(database, CANDLES.name)
    stale = BarRecorder(sink)
    await stale.start({0: LOG_ID})
    async with recording(database) as other:
        await take(other, shown[:3])
    await stale.append(0, shown[:3], lambda: None)
    with pytest.raises(PositionMoved):
        await stale.run()
    await sink.close()
