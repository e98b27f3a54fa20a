"""A partition of `executions` that this worker owns: load its bars, apply reports to them, and checkpoint them."""

from collections.abc import Iterator

from app.analytics.history import Block
from app.candles import Candles, Output
from app.models.candle_snapshots import decode_trades
from app.streaming.batches import Batch
from app.streaming.outbox import Outbox
from app.unusable import NO_REPORT, pass_over
from tables.candles.store import candles
from tables.candles.subjects import AROUND, Subjects, codec
from tables.recovery.changelog import Damaged, block_key, parse
from tables.recovery.checkpoint import Record
from tables.recovery.completeness import require_complete
from tables.recovery.loader import load
from tables.recovery.owned import Progress, ending_what_cannot_begin, monotonic_ms
from tables.recovery.ports import KafkaLogs, PartitionPorts


class OwnedCandles:
    """Applies reports to the bars and notes which of them the next checkpoint must cover."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.candles = Candles(self._read)
        self.progress: Progress

    @classmethod
    async def load(cls, number: int, partitions: int, logs: KafkaLogs, outbox: Outbox, log_id: str) -> "OwnedCandles":
        """Load bars and position from the changelog; end the process if durable state is damaged or foreign."""
        owned = cls(number)
        with ending_what_cannot_begin("rebuild --candles"):
            loaded = await load(logs, codec(log_id), log_id)
            await require_complete(logs, number, partitions, loaded)
        logs.pass_over(loaded.unusable)
        owned._show(number, list(loaded.records.items()))
        subjects = Subjects(owned.candles, log_id)
        subjects.restore(loaded)
        ports = PartitionPorts(number, outbox, logs, owned._show)
        owned.progress = Progress.after(subjects, loaded, ports, logs, log_id)
        return owned

    def apply(self, batch: Batch) -> Iterator[Output]:
        """Yield the output of each effective report; one that a snapshot already covers has none."""
        now_ms = monotonic_ms()
        progress, bars = self.progress, self.candles
        for record in batch.records:
            foreign = bars.foreign
            output = bars.apply(record.offset, record.value)
            progress.passed(record.offset)
            if output is not None:
                progress.note(output.instrument, record.offset, now_ms)
                yield output
            elif bars.foreign > foreign:
                pass_over(AROUND.source, self._number, record.offset, NO_REPORT)
        progress.hold(batch)

    def _show(self, number: int, records: list[Record]) -> None:
        """Copy records to RocksDB, which then keeps the blocks among them."""
        candles.show(number, records)
        for text, _ in records:
            key = parse(text)
            if key is not None and key.block is not None:
                self.candles.stored(key.name, key.block)

    def _read(self, instrument: str, number: int) -> Block:
        value = candles.read(self._number, block_key(instrument, number))
        if value is None:
            raise Damaged(f"RocksDB has lost the block {instrument}#{number}: a fresh process loads it again")
        return decode_trades(value, number)
