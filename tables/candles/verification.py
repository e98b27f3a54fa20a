"""Verify the candles table: its changelog against the bars of a replay."""

from collections.abc import Mapping

from aiokafka import TopicPartition

from app.candles import Candles
from app.kafka.groups import committed
from app.topics import CANDLES, EXECUTIONS
from app.verification.findings import Findings
from app.verification.running import BarStatesOf
from tables.candles.subjects import AROUND, FrozenMarket, Subjects, codec
from tables.recovery.verification import ChangelogStates, read_states


class ReplayedCandles:
    """The markets of a partition as verification.Replayed."""

    def __init__(self, candles: Candles, log_id: str) -> None:
        self._markets, self._subjects = candles.markets, Subjects(candles, log_id)

    def reached(self) -> Mapping[str, int]:
        return {name: listed.offset for name, listed in self._markets.items()}

    def seq(self, name: str) -> int:
        return self._markets[name].market.shown_seq

    def end_block(self, name: str) -> int:
        return len(self._markets[name].market.history.sums)

    def block_value(self, name: str, number: int) -> bytes:
        return self.freeze(name).block_value(number)

    def freeze(self, name: str) -> FrozenMarket:
        return self._subjects[name].freeze()


def candles_states(broker: str) -> BarStatesOf:
    """The function with which app.verification reads the candles table to verify it."""

    async def of_partition(number: int, log_id: str, findings: Findings) -> ChangelogStates:
        position = (await committed(broker, "analytics")).get(TopicPartition(EXECUTIONS.name, number), 0)
        states = await read_states(broker, AROUND, candles_of(number, log_id, findings))
        states.committed(position)
        return states

    return of_partition


def candles_of(number: int, log_id: str, findings: Findings) -> ChangelogStates:
    """The states of the candles table's partition, of which nothing is read yet."""
    return ChangelogStates(
        number,
        log_id,
        findings,
        codec(log_id),
        lambda candles: ReplayedCandles(candles, log_id),
        name=AROUND.changelog,
        outputs=CANDLES.name,
    )
