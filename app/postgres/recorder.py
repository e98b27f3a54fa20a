"""The recorder: takes fetched records, keeps each report once, and has the sink write what has gathered.

While one transaction runs the next gathers, so a backlog makes large transactions and a quiet hour small ones.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from app import metrics
from app.models.identity import NO_SECRET
from app.models.reports import read_report
from app.postgres.rows import Rows
from app.postgres.sink import Run, Sink
from app.postgres.statements import Statement, statements
from app.progress import Sequencer, Step
from app.unusable import NO_REPORT, pass_over

MAX_REPORTS = 4_000  # in one transaction; the batch that reaches it is the last
MAX_BYTES = 16 * 1024 * 1024
LINGER_S = 0.02  # a transaction costs as much as a hundred reports, so a few are worth waiting for
GAP_ALARM_S = 10.0

_log = logging.getLogger(__name__)
T = TypeVar("T")


class UnexpectedRecords(RuntimeError):
    """Records that do not follow what was taken in before: of another partition, or from before the position."""


class _Gathering:
    """What has been taken in and is not being written yet."""

    def __init__(self, secret: bytes) -> None:
        self.moves: dict[int, tuple[int, int]] = {}
        self.rows = Rows(secret)
        self.last_seqs: dict[str, tuple[int, int]] = {}
        self.reports = self.bytes = 0
        self.acknowledgements: list[Callable[[], None]] = []

    @property
    def is_full(self) -> bool:
        return self.reports >= MAX_REPORTS or self.bytes >= MAX_BYTES


class Recorder:
    """Everything between the topic and the sink. `run` must be running for anything to be written."""

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
        self.reports = self.transactions = 0
        """Reports and transactions written since the start."""

    async def start(self, log_ids: dict[int, str], secret: bytes = NO_SECRET) -> dict[int, int]:
        """Begin the partitions whose log ids are given; answers the offset at which to read each.

        `secret` is that of the log's order ids. Raises AnotherInstallation. Waits while Postgres is away.
        """
        self._secret = secret
        self._gathering = _Gathering(secret)
        positions = await self._sink.positions(log_ids)
        self._progress = {partition: Sequencer(position.last_seqs) for partition, position in positions.items()}
        self._next_offsets = {partition: position.next_offset for partition, position in positions.items()}
        self.recorded = dict(self._next_offsets)
        return dict(self._next_offsets)

    async def append(self, partition: int, records: Iterable[Any], acknowledge: Callable[[], None]) -> None:
        """Take in fetched records; `acknowledge` is called once they are written. Waits while there is no room.

        A record that is no report is passed over. Raises UnexpectedRecords, and what read_report raises.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: not self._gathering.is_full)
            self._take(partition, records)
            self._gathering.acknowledgements.append(acknowledge)
            self._changed.notify_all()

    async def run(self) -> None:
        """Write what gathers, for ever; raises what the sink raises."""
        writing: asyncio.Task[None] | None = None
        try:
            while True:
                gathered = await _unless_failed(writing, self._take_over())
                run = await _prepare(gathered)  # while the one before is on its way
                if writing is not None:
                    await writing
                writing = asyncio.create_task(self._write(run, gathered))
        finally:
            if writing is not None:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)  # it holds on to the connection until then

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
        self.recorded |= {partition: to_offset for partition, (_, to_offset) in run.moves.items()}
        self.reports += gathered.reports
        self.transactions += 1
        for acknowledge in gathered.acknowledgements:
            acknowledge()

    async def _linger(self) -> None:
        try:
            async with asyncio.timeout(LINGER_S):
                await self._changed.wait_for(lambda: self._gathering.is_full)
        except TimeoutError:
            pass

    def _take(self, partition: int, records: Iterable[Any]) -> None:
        if partition not in self._progress:
            raise UnexpectedRecords(f"partition {partition} was never begun")
        gathering, progress = self._gathering, self._progress[partition]
        begin = expected = self._next_offsets[partition]
        for record in records:
            # A higher offset is a hole in the topic, which the consumer has confirmed.
            if record.offset < expected:
                raise UnexpectedRecords(f"partition {partition}: {record.offset} came, {expected} was next")
            expected = record.offset + 1
            gathering.reports += 1
            gathering.bytes += len(record.value or b"")
            report = read_report(record.value)
            if report is None:
                pass_over(self._sink.topic, partition, record.offset, NO_REPORT)
                continue
            step = progress.accept(report.instrument, report.seq)
            if step is Step.NEXT:
                gathering.rows.add(report)
                gathering.last_seqs[report.instrument] = partition, report.seq
            elif step is Step.GAP:
                self._watch(progress, report.instrument)
        self._next_offsets[partition] = expected
        gathering.moves[partition] = gathering.moves.get(partition, (begin, begin))[0], expected

    def _watch(self, progress: Sequencer, instrument: str) -> None:
        """A gap closes when its reports are sent again; one that stays is for people to see."""
        if instrument not in self._watched:
            self._watched.add(instrument)
            asyncio.get_running_loop().call_later(GAP_ALARM_S, self._alarm, progress, instrument)

    def _alarm(self, progress: Sequencer, instrument: str) -> None:
        self._watched.discard(instrument)
        if instrument in progress.missing:
            _log.error(
                "%s: report %s is missing, later ones are not recorded", instrument, progress.missing[instrument]
            )
            self._watch(progress, instrument)


async def _unless_failed(task: asyncio.Task[None] | None, coroutine: Coroutine[Any, Any, T]) -> T:
    """What the coroutine gives; what the task raises, as soon as it does: in a quiet hour nothing else would tell."""
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
        await asyncio.sleep(0)  # each takes milliseconds, in which Postgres may have answered
    return Run(gathered.moves, built, gathered.last_seqs)
