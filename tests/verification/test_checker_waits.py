"""The checker beside a working venue: the last commands of `orders` are reported a moment after it has read on."""

from dataclasses import dataclass

from app.kafka.reading import LogRecord
from app.topics import ORDERS
from app.verification.findings import Verdict
from app.verification.venue import Evidence, judge
from tests.verification.honest import MemoryStream, Telling, telling

LATE = 3


class LateStream(MemoryStream):
    """Its last records are there when it is asked for more."""

    def __init__(self, records: list[LogRecord]) -> None:
        super().__init__(records[:-LATE])
        self._late = records[-LATE:]

    async def extend(self) -> None:
        self.records, self._late = self.records + self._late, []


@dataclass
class Working:
    """A venue whose last reports come late, or never."""

    told: Telling
    comes: bool

    @property
    def partitions(self) -> int:
        return self.told.partitions

    async def stream(self, topic: str, partition: int) -> MemoryStream:
        """As app.verification.venue.Logs."""
        stream = await self.told.stream(topic, partition)
        if topic == ORDERS.name:
            return stream
        late = LateStream(stream.records)
        return late if self.comes else MemoryStream(late.records)

    async def judged(self, patience_s: float) -> Verdict:
        """With nothing required but the beginning."""
        required = dict.fromkeys(range(self.partitions), 1)
        return await judge(self, Evidence(required, self.told.log_ids, patience_s=patience_s))


async def test_what_comes_late_is_not_in_flight() -> None:
    """An order or a timer's snapshot may come just as the checker reads: it waits for what that gives."""
    verdict = await Working(telling(), comes=True).judged(patience_s=10.0)
    assert verdict.is_right and verdict.in_flight == (), verdict.as_text()


async def test_what_does_not_come_is_told_and_not_called_wrong() -> None:
    """Patience ends; nothing had promised those commands their effects."""
    verdict = await Working(telling(), comes=False).judged(patience_s=0.1)
    assert verdict.is_right, verdict.as_text()
    assert verdict.in_flight == tuple(f"orders[{number}]: {LATE} reports are not there yet" for number in (0, 1))
