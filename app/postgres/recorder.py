"""The recorder: takes in fetched records, keeps each report once, and lets the sink write them in transactions.

Reports gather while the sink writes the previous transaction, so transactions are large under load, small when quiet.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from app import metrics
from app.models.identity import NO_SECRET
from app.models.reports import read_report
from app.postgres.rows import Rows, time_text
from app.postgres.sink import Run, Sink
from app.postgres.statements import Statement, statements
from app.progress import Sequencer, Step
from app.unusable import NO_REPORT, pass_over

MAX_REPORTS = 4_000  # in one transaction; it takes no further batch once it has this many
MAX_BYTES = 16 * 1024 * 1024
LINGER_S = 0.02  # wait this long for more reports: a transaction costs as much as a hundred of them
GAP_ALARM_S = 10.0

_log = logging.getLogger(__name__)
T = TypeVar("T")


class UnexpectedRecords(RuntimeError):
    """Records do not follow those before: their partition was not started, or their offset is below the position."""


class _Gathering:
    """The reports that have gathered for the next transaction."""

    def __init__(self, secret: bytes) -> None:
        self.moves: dict[int, tuple[int, int]] = {}
        self.rows = Rows(secret)
        self.last_reports: dict[str, tuple[int, int, str]] = {}
        self.reports = self.bytes = 0
        self.acknowledgements: list[Callable[[], None]] = []

    @property
    def is_full(self) -> bool:
        return self.reports >= MAX_REPORTS or self.bytes >= MAX_BYTES


class Recorder:
    """Connects the topic with the sink. It writes only while `run` is running."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._next_offsets: dict[int, int] = {}
        self._progress: dict[int, Sequencer] = {}
        self._secret = NO_SECRET
        self._gathering = _Gathering(self._secret)
        self._changed = asyncio.Condition()
        self._watched: set[str] = set()
        self.recorded: dict[int, int] = {}
        """Partition -> the offset below which everything is in Postgres."""
        self.transactions = 0
        """How many the sink has written since the start."""

    async def start(self, log_ids: dict[int, str], secret: bytes = NO_SECRET) -> dict[int, int]:
        """Start the partitions whose log ids are given; returns the offset from which to read each.

        `secret` is that of the log's order ids. Raises AnotherInstallation. Waits while Postgres cannot be reached.
        """
        self._secret = secret
        self._gathering = _Gathering(secret)
        recorded = await self._sink.begin(log_ids)
        self._progress = {partition_id: Sequencer(partition.last_seqs) for partition_id, partition in recorded.items()}
        self._next_offsets = {partition_id: partition.next_offset for partition_id, partition in recorded.items()}
        self.recorded = dict(self._next_offsets)
        return dict(self._next_offsets)

    async def append(self, partition_id: int, records: Iterable[Any], acknowledge: Callable[[], None]) -> None:
        """Take in fetched records; calls `acknowledge` once they are written. Waits while the next transaction is full.

        Skips records that are not reports. Raises UnexpectedRecords, and what read_report raises.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: not self._gathering.is_full)
            self._take(partition_id, records)
            self._gathering.acknowledgements.append(acknowledge)
            self._changed.notify_all()

    async def run(self) -> None:
        """Write gathered reports until cancelled; raises what the sink raises."""
        writing: asyncio.Task[None] | None = None
        try:
            while True:
                gathered = await _wait_unless_failed(writing, self._take_over())
                run = await _prepare(gathered)  # while Postgres works on the previous run
                if writing is not None:
                    await writing
                writing = asyncio.create_task(self._write(run, gathered))
        finally:
            if writing is not None:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)  # only then does it release the connection

    async def _take_over(self) -> _Gathering:
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._gathering.acknowledgements))
            if not self._gathering.is_full:
                await self._linger()
            gathered, self._gathering = self._gathering, _Gathering(self._secret)
            self._changed.notify_all()
            return gathered

    async def _write(self, run: Run, gathered: _Gathering) -> None:
        with metrics.sink_seconds.time():
            await self._sink.write(run)
        metrics.sink_batch.observe(gathered.reports)
        self.recorded |= {partition_id: to_offset for partition_id, (_, to_offset) in run.moves.items()}
        self.transactions += 1
        for acknowledge in gathered.acknowledgements:
            acknowledge()

    async def _linger(self) -> None:
        try:
            async with asyncio.timeout(LINGER_S):
                await self._changed.wait_for(lambda: self._gathering.is_full)
        except TimeoutError:
            pass

    def _take(self, partition_id: int, records: Iterable[Any]) -> None:
        if partition_id not in self._progress:
            raise UnexpectedRecords(f"partition {partition_id} was not started")
        gathering, progress = self._gathering, self._progress[partition_id]
        begin = expected = self._next_offsets[partition_id]
        for record in records:
            # A higher offset is a hole in the topic, which the consumer has confirmed.
            if record.offset < expected:
                raise UnexpectedRecords(f"partition {partition_id}: got offset {record.offset}, expected {expected}")
            expected = record.offset + 1
            gathering.reports += 1
            gathering.bytes += len(record.value or b"")
            report = read_report(record.value)
            if report is None:
                pass_over(self._sink.topic, partition_id, record.offset, NO_REPORT)
                continue
            step = progress.accept(report.instrument, report.seq)
            if step is Step.NEXT:
                gathering.rows.add(report)
                gathering.last_reports[report.instrument] = partition_id, report.seq, time_text(report.time)
            elif step is Step.GAP:
                self._watch(progress, report.instrument)
        self._next_offsets[partition_id] = expected
        gathering.moves[partition_id] = gathering.moves.get(partition_id, (begin, begin))[0], expected

    def _watch(self, progress: Sequencer, instrument: str) -> None:
        """Log an error if a gap stays open: normally it closes when its reports are sent again."""
        if instrument not in self._watched:
            self._watched.add(instrument)
            asyncio.get_running_loop().call_later(GAP_ALARM_S, self._alarm, progress, instrument)

    def _alarm(self, progress: Sequencer, instrument: str) -> None:
        self._watched.discard(instrument)
        if instrument in progress.missing:
            _log.error(
                "%s: report %s is missing, so later ones are not recorded", instrument, progress.missing[instrument]
            )
            self._watch(progress, instrument)


async def _wait_unless_failed(task: asyncio.Task[None] | None, coroutine: Coroutine[Any, Any, T]) -> T:
    """Await the coroutine, but raise the task's error as soon as it fails, not only when new records come."""
    wanted = asyncio.create_task(coroutine)
    try:
        if task is not None:
            await asyncio.wait((task, wanted), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
        return await wanted
    finally:
        wanted.cancel()


async def _prepare(gathered: _Gathering) -> Run:
    built: list[Statement] = []
    for statement in statements(gathered.rows):
        built.append(statement)
        await asyncio.sleep(0)  # each takes milliseconds; Postgres may have answered meanwhile
    return Run(gathered.moves, built, gathered.last_reports)
