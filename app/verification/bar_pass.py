"""One pass over the bars of a venue: reports and updates of each partition, its states, and its rows in Postgres."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from app.postgres import Recorded
from app.topics import CANDLES, EXECUTIONS
from app.verification.bars import KEYS, BarsJudge, BarStates
from app.verification.findings import Findings
from app.verification.rows import Row, compare, compare_counts
from app.verification.venue import POLL_S, ROWS_AT_ONCE, Logs, Stream

ReadStates = Callable[[int, Findings], Awaitable[BarStates]]


class BarTables(Protocol):
    """The recorded tables, all as of one moment."""

    @property
    def bars(self) -> Mapping[int, Recorded]:
        """Partition of `candles` -> the position and the log id of what is recorded."""

    async def rows(self, table: str, key_columns: Sequence[str], keys: Sequence[tuple[Any, ...]]) -> list[Row]:
        """The rows with these keys."""

    async def counts(self, table: str) -> Mapping[str, int]:
        """Instrument -> its number of rows."""


async def judge_bars(
    logs: Logs,
    findings: Findings,
    tables: BarTables | None,
    states: ReadStates | None,
    log_ids: Mapping[int, str],
    patience_s: float,
) -> list[str]:
    """Compare all bars; returns a sentence for each partition whose last updates are in flight.

    It compares nothing if `executions` is already found wrong: bars can be judged by right reports only.
    """
    if findings.executions.differences:
        return []
    in_flight: list[str] = []
    counts: dict[str, dict[str, int]] = {table: {} for table in KEYS}
    for number in range(logs.partitions):
        read = await states(number, findings) if states else None
        candles = await logs.stream(CANDLES.name, number)
        executions = await logs.stream(EXECUTIONS.name, number)
        _compare_position(findings, tables, number, candles.end, log_ids)
        if not candles.end and not (read and read.has_manifest):
            continue  # no worker of the role has ever run
        recorded = tables.bars.get(number) if tables else None
        judge = BarsJudge(number, findings, read, recorded.next_offset if recorded else None)
        await _carry(judge, candles, executions, patience_s)
        if missing := judge.end():
            in_flight.append(f"candles[{number}]: {missing:,} updates are not there yet")
        for table, rows in judge.rows().items():
            for key, row in rows.items():
                counts[table][row["instrument"]] = counts[table].get(row["instrument"], 0) + bool(key)
            await _compare_rows(findings, tables, table, rows)
    if tables is not None:
        for table, expected in counts.items():
            _complain(findings, compare_counts(table, await tables.counts(table), expected))
    return in_flight


async def _carry(judge: BarsJudge, candles: Stream, executions: Stream, patience_s: float) -> None:
    end = candles.end
    while reports := await executions.read():
        judge.reports(reports)
        while judge.wants_records and (updates := await candles.read()):
            judge.show(updates)
    while updates := await candles.read():
        judge.show(updates)
    judge.end_of_reports(end)
    deadline = time.monotonic() + patience_s
    while judge.is_waiting and time.monotonic() < deadline:
        await asyncio.sleep(POLL_S)
        await candles.extend()
        while updates := await candles.read():
            judge.show_late(updates)


async def _compare_rows(
    findings: Findings, tables: BarTables | None, table: str, rows: Mapping[tuple[Any, ...], Row]
) -> None:
    if tables is None:
        return
    keys = list(rows)
    for start in range(0, len(keys), ROWS_AT_ONCE):
        some = keys[start : start + ROWS_AT_ONCE]
        found = await tables.rows(table, KEYS[table], some)
        findings.bars.compared += len(found)
        _complain(findings, compare(table, found, {key: rows[key] for key in some}, KEYS[table]))


def _compare_position(
    findings: Findings, tables: BarTables | None, number: int, end: int, log_ids: Mapping[int, str]
) -> None:
    if tables is None or number not in tables.bars:
        return
    findings.origin.compared += 1
    position, log_id, *_ = tables.bars[number]
    name = f"Postgres sink_progress: {CANDLES.name}[{number}]"
    if log_id != (right := log_ids.get(number)):
        findings.origin.complain(f"{name} is of the log {log_id}, orders[{number}] of {right}: two installations")
    elif position > end:
        findings.origin.complain(f"{name} is recorded up to {position}, but the topic ends at {end}: it lost its end")


def _complain(findings: Findings, sentences: Iterable[str]) -> None:
    for sentence in sentences:
        findings.bars.complain(sentence)
