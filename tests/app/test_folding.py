"""One partition of bars: which records of `executions` count, and what is told of them."""

from app.analytics.history import Block
from app.candles import Candles
from app.engine import Partition
from app.instruments import default_listings
from app.matching.words import OrderType, Side
from app.models.commands import PlaceOrder, encode_command
from app.models.reports import encode

BTC = next(listing for listing in default_listings() if listing.instrument == "BTC-USD")


def _no_block(instrument: str, number: int) -> Block:
    raise AssertionError("nothing here is older than a block")


def _reports() -> list[bytes]:
    """A listing, a refused record, and two trades a second apart."""
    partition, found = Partition(0, 1), list[bytes]()
    order = {"type": OrderType.LIMIT, "price": "70000", "quantity": "0.1"}
    sides = (Side.SELL, Side.BUY, Side.SELL, Side.BUY)
    commands = [encode_command(BTC), b"poison"]
    for n, side in enumerate(sides):
        commands.append(
            encode_command(PlaceOrder("BTC-USD", client_id=f"c{n % 2}", client_order_id=f"k{n}", side=side, **order))
        )
    for offset, value in enumerate(commands):
        output = partition.apply(offset, 1_000 * offset, b"BTC-USD", value)
        assert output is not None
        found += [encode(report) for report in output.reports]
    return found


def test_each_trade_after_a_quiet_time_is_told() -> None:
    """Prices and sizes are those of the listing."""
    candles = Candles(_no_block)
    outputs = [candles.apply(offset, value) for offset, value in enumerate(_reports())]
    told = [output.update for output in outputs if output and output.update]
    assert [(update.prev_seq, update.seq, update.ticker.volume) for update in told] == [
        (0, 3, "0.1000"),
        (3, 5, "0.2000"),
    ]
    assert [bar.interval.value for bar in told[0].bars] == ["1m", "3m", "5m", "15m", "30m", "1h", "4h", "1d", "1w"]
    assert told[0].bars[0].quote_volume == "7000.000000"


def test_refused_records_and_strangers_are_no_reports_of_a_market() -> None:
    """Only a stranger's record is counted: nobody should write there."""
    candles = Candles(_no_block)
    assert candles.apply(0, b"hello") is None
    assert [candles.apply(offset, value) for offset, value in enumerate(_reports(), 1)][1] is None
    assert (candles.foreign, list(candles.markets)) == (1, ["BTC-USD"])


def test_repeats_and_what_follows_a_gap_change_nothing() -> None:
    """A gap is filled by the worker that left it, which sends everything after it again (I10)."""
    straight, disturbed, reports = Candles(_no_block), Candles(_no_block), _reports()
    for offset, value in enumerate(reports):
        straight.apply(offset, value)
    order = [0, 1, 2, 2, 0, 4, 5, 3, 4, 5]
    for offset, at in enumerate(order):
        output = disturbed.apply(offset, reports[at])
        assert (output is None) == (offset in (1, 3, 4, 5, 6))
    found, right = disturbed.markets["BTC-USD"].market, straight.markets["BTC-USD"].market
    assert found.freeze() == right.freeze()


def test_a_market_whose_listing_was_not_seen_is_not_there() -> None:
    """Its sizes are not known; the log has lost its beginning."""
    candles = Candles(_no_block)
    assert candles.apply(0, _reports()[3]) is None
    assert candles.markets == {}
