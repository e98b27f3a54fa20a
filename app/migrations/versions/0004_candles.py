"""Bars and tickers: what the topic `candles` says, each row as of the report `seq`."""

from alembic import op

revision = "0004"
down_revision = "0003"

# Prices are null if all trades of the bar are busted.
CANDLES = """
CREATE TABLE candles (
    instrument text COLLATE "C" NOT NULL,
    interval text COLLATE "C" NOT NULL,
    open_time timestamptz NOT NULL,
    close_time timestamptz NOT NULL,
    open numeric,
    high numeric,
    low numeric,
    close numeric,
    volume numeric NOT NULL,
    quote_volume numeric NOT NULL,
    trades bigint NOT NULL,
    taker_buy_volume numeric NOT NULL,
    taker_buy_quote_volume numeric NOT NULL,
    first_trade_seq bigint,
    last_trade_seq bigint,
    seq bigint NOT NULL,
    closed boolean NOT NULL,
    revision bigint NOT NULL,
    PRIMARY KEY (instrument, interval, open_time),
    CHECK ((trades = 0) = (open IS NULL))
)
"""
# Its seq is that of the last update of the instrument: up to it the candles are right.
TICKERS = """
CREATE TABLE tickers (
    instrument text COLLATE "C" PRIMARY KEY,
    seq bigint NOT NULL,
    open_time timestamptz NOT NULL,
    close_time timestamptz NOT NULL,
    open numeric,
    high numeric,
    low numeric,
    last numeric,
    last_quantity numeric,
    last_time timestamptz,
    price_change numeric,
    vwap numeric,
    volume numeric NOT NULL,
    quote_volume numeric NOT NULL,
    trades bigint NOT NULL,
    first_trade_seq bigint,
    last_trade_seq bigint
)
"""


def upgrade() -> None:
    """Make both tables; the position in the topic is a row of sink_progress."""
    for statement in (CANDLES, TICKERS):
        op.execute(statement)
