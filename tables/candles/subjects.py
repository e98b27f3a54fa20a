"""Let the recovery protocol snapshot and restore a partition's bars, and decode their changelog records.

A subject is the bars of one market; its blocks hold 1,024 trades each.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from app.candles import Candles, Listed
from app.models.candle_snapshots import MarketSnapshot, decode_market, decode_sum, encode_market, encode_trades
from app.topics import CANDLES, CANDLES_CHANGELOG, EXECUTIONS
from tables.recovery.around import Around
from tables.recovery.changelog import Codec, Loaded, records_of_snapshot
from tables.recovery.checkpoint import Record

AROUND = Around(EXECUTIONS.name, CANDLES.name, CANDLES_CHANGELOG.name)


def codec(log_id: str) -> Codec:
    """The decoders for the candles table of the log with this id; of a block only its sum."""
    return Codec(state=partial(_state, log_id), block=decode_sum)


class FrozenMarket(NamedTuple):
    """An immutable copy of a market's state; `listed` still has its complete blocks, which never change."""

    state: MarketSnapshot
    log_id: str
    listed: Listed

    @property
    def offset(self) -> int:
        return self.state.offset

    @property
    def seq(self) -> int:
        return self.state.seq

    @property
    def first_block(self) -> int:
        return self.state.first_block

    @property
    def end_block(self) -> int:
        return self.state.end_block

    def snapshot_records(self, name: str) -> list[Record]:
        """The changelog records of the snapshot."""
        return records_of_snapshot(name, self.offset, *encode_market(self.state, self.log_id))

    def block_value(self, number: int) -> bytes:
        return encode_trades(self.listed.market.history.block(number))


class MarketSubject(NamedTuple):
    """A market as a subject."""

    listed: Listed
    log_id: str

    @property
    def size(self) -> int:
        return self.listed.market.size

    def freeze(self) -> FrozenMarket:
        return FrozenMarket(self.listed.freeze(), self.log_id, self.listed)


class Subjects(Mapping[str, MarketSubject]):
    """All markets of one partition by name: a live view, which includes instruments that are listed later."""

    def __init__(self, candles: Candles, log_id: str) -> None:
        self._candles, self._log_id = candles, log_id

    def restore(self, loaded: Loaded) -> None:
        """Restore the markets from the loaded states."""
        for name, state in loaded.states.items():
            blocks = loaded.blocks[name]
            self._candles.restore(state, (blocks[number] for number in range(state.end_block)))

    def __getitem__(self, name: str) -> MarketSubject:
        return MarketSubject(self._candles.markets[name], self._log_id)

    def __iter__(self) -> Iterator[str]:
        return iter(self._candles.markets)

    def __len__(self) -> int:
        return len(self._candles.markets)


def _state(log_id: str, head: bytes, chunk: Callable[[int], bytes | None]) -> MarketSnapshot:
    return decode_market(head, chunk, log_id)
