"""Verify the candles table: its changelog against the bars of a replay."""

from collections.abc import Mapping

from app.candles import Candles
from app.models.candle_snapshots import encode_trades
from app.topics import CANDLES
from app.verification.findings import Findings
from app.verification.running import BarStatesOf
from tables.candles.subjects import AROUND, FrozenMarket, Subjects, codec
from tables.recovery.verification import ChangelogStates, states_in_kafka


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
        return encode_trades(self._markets[name].market.history.block(number))

    def freeze(self, name: str) -> FrozenMarket:
        return self._subjects[name].freeze()


def candles_states(broker: str) -> BarStatesOf:
    """The function with which app.verification reads the candles table to verify it."""
    return states_in_kafka(broker, "analytics", AROUND, candles_of)


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
