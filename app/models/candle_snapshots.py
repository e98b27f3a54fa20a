"""Encodes the state of a market's bars and its blocks of trades as canonical bytes (app/models/sealed.py)."""

from collections.abc import Callable
from itertools import accumulate
from operator import sub
from typing import NamedTuple

import msgspec

from app.analytics.bars import Trade
from app.analytics.history import BLOCK, Block, Sum, sum_of
from app.analytics.market import MarketState
from app.models.sealed import FORMAT_VERSION, Body, DamagedSnapshot, pack, read, seal, unpack, unseal

FIRST_BLOCK = 0  # a bust may name a trade of any age, so no block is ever dropped


class MarketSnapshot(NamedTuple):
    """The bars of a market after the report at `offset` of `executions`; sizes in units of 10^-8."""

    instrument: str
    offset: int
    tick_size: int
    lot_size: int
    market: MarketState

    @property
    def seq(self) -> int:
        """The seq of the last update that readers got."""
        return self.market.shown_seq

    @property
    def first_block(self) -> int:
        return FIRST_BLOCK

    @property
    def end_block(self) -> int:
        return self.market.total // BLOCK


class _Columns(NamedTuple):
    """The trades of a block; times, prices and report seqs as differences from the trade before, the first from 0."""

    times: list[int]
    prices: list[int]
    quantities: list[int]
    taker_buys: str
    report_seqs: list[int]


_encode = msgspec.json.Encoder().encode
_decode_body = msgspec.json.Decoder(MarketSnapshot).decode
_decode_sum = msgspec.json.Decoder(tuple[int, Sum, msgspec.Raw]).decode
_decode_block = msgspec.json.Decoder(tuple[int, Sum, _Columns]).decode


def encode_market(snapshot: MarketSnapshot, log_id: str) -> tuple[bytes, list[bytes]]:
    """(head, chunks) of a snapshot; small snapshots have no chunks."""
    return pack(Body(snapshot.instrument, snapshot.offset, _encode(snapshot)), log_id)


def decode_market(head: bytes, chunk: Callable[[int], bytes | None], log_id: str) -> MarketSnapshot:
    """The snapshot; `chunk(i)` returns the i-th chunk, None if it is missing. Raises DamagedSnapshot."""
    instrument, offset, body = unpack(head, chunk, log_id)
    found = read(_decode_body, body)
    if (found.instrument, found.offset) != (instrument, offset):
        raise DamagedSnapshot(f"{instrument}@{offset} contains {found.instrument}@{found.offset}")
    return found


def encode_trades(block: Block) -> bytes:
    """The value of a complete block of trades; its sum comes first, so that a start need not read the rest."""
    columns = _Columns(
        _differences([trade.time_ms for trade in block]),
        _differences([trade.price for trade in block]),
        [trade.quantity for trade in block],
        "".join(["b" if trade.taker_buys else "s" for trade in block]),
        _differences([trade.report_seq for trade in block]),
    )
    return seal(_encode((FORMAT_VERSION, sum_of(block), columns)))


def decode_sum(value: bytes) -> Sum:
    """The sum of a block; raises DamagedSnapshot."""
    version, found, _ = read(_decode_sum, unseal(value))
    _require_version(version)
    return found


def decode_trades(value: bytes, number: int) -> Block:
    """The trades of the block with this number; raises DamagedSnapshot."""
    version, _, columns = read(_decode_block, unseal(value))
    _require_version(version)
    times, prices, quantities, sides, seqs = columns
    return tuple(
        Trade(seq, time_ms, price, quantity, side == "b", report_seq)
        for seq, (time_ms, price, quantity, side, report_seq) in enumerate(
            zip(accumulate(times), accumulate(prices), quantities, sides, accumulate(seqs), strict=True),
            number * BLOCK + 1,
        )
    )


def _require_version(version: int) -> None:
    if version != FORMAT_VERSION:
        raise DamagedSnapshot(f"block of trades has format {version}, expected {FORMAT_VERSION}")


def _differences(numbers: list[int]) -> list[int]:
    return list(map(sub, numbers, [0, *numbers]))
