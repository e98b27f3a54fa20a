"""Snapshots of bars and blocks of trades: the same after decoding, small, and refused when a byte is another."""

from random import Random

import pytest

from app.analytics.bars import Trade
from app.analytics.history import BLOCK, Block, sum_of
from app.analytics.market import Market
from app.models.candle_snapshots import (
    MarketSnapshot,
    decode_market,
    decode_sum,
    decode_trades,
    encode_market,
    encode_trades,
)
from app.models.sealed import DamagedSnapshot
from tests.analytics.markets import history_of

LOG = "00000000-0000-0000-0000-000000000001"
BYTES_A_TRADE = 24


def _block(number: int) -> Block:
    """A block of a busy market: prices that wander, seconds between trades."""
    rng, price, time_ms, seq, found = Random(number), 7_000_000, 1_735_689_600_000, 10**6, []
    for place in range(BLOCK):
        price += rng.randint(-50, 50)
        time_ms += rng.randint(0, 3_000)
        seq += rng.randint(1, 9)
        found.append(Trade(number * BLOCK + place + 1, time_ms, price, rng.randint(1, 10**5), rng.random() < 0.5, seq))
    return tuple(found)


def _snapshot(seed: int) -> MarketSnapshot:
    market = Market(lambda number: ())
    for report in history_of(seed, 40):
        market.apply(report)
    return MarketSnapshot("BTC-USD", 77, 1_000_000, 10_000, market.freeze())


@pytest.mark.parametrize("seed", range(10))
def test_a_snapshot_is_the_same_after_decoding(seed: int) -> None:
    """Open bars, minutes, trades, busts, and the last trade."""
    snapshot = _snapshot(seed)
    head, chunks = encode_market(snapshot, LOG)
    assert decode_market(head, dict(enumerate(chunks)).get, LOG) == snapshot
    assert encode_market(snapshot, LOG) == (head, chunks)


def test_a_block_is_the_same_after_decoding() -> None:
    """Its number gives the numbers of the trades; a start reads only the sum."""
    block = _block(3)
    value = encode_trades(block)
    assert decode_trades(value, 3) == block
    assert decode_sum(value) == sum_of(block)
    assert len(value) < BYTES_A_TRADE * BLOCK


@pytest.mark.parametrize("place", [0, 40, 5_000, -1])
def test_an_altered_byte_is_refused(place: int) -> None:
    """Of a block and of a snapshot."""
    for value, decode in (
        (encode_trades(_block(3)), lambda found: decode_trades(found, 3)),
        (encode_trades(_block(3)), decode_sum),
        (encode_market(_snapshot(1), LOG)[0], lambda found: decode_market(found, lambda _: None, LOG)),
    ):
        at = place % len(value)
        wrong = value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]
        with pytest.raises(DamagedSnapshot):
            decode(wrong)


def test_a_snapshot_of_another_log_is_refused() -> None:
    """The topics were recreated or mixed."""
    head, _ = encode_market(_snapshot(1), LOG)
    with pytest.raises(DamagedSnapshot, match="of the log"):
        decode_market(head, lambda _: None, LOG.replace("1", "2"))
