"""Fees of trades and orders, and the trades that were busted (docs/MATCHING.md, R16 and R17); the ledger with both."""

from alembic import op

revision = "0003"
down_revision = "0002"

# A default that Postgres keeps in its catalogue: no row is rewritten, however long the history.
FEES = (
    "ALTER TABLE trades ADD COLUMN buyer_fee numeric NOT NULL DEFAULT 0, "
    "ADD COLUMN seller_fee numeric NOT NULL DEFAULT 0",
    "ALTER TABLE orders ADD COLUMN fees numeric NOT NULL DEFAULT 0",
    "ALTER TABLE order_events ADD COLUMN fees numeric NOT NULL DEFAULT 0",
)
# A table of its own: a recorded trade never changes, and a trade that is busted twice would fail here.
TRADE_BUSTS = """
CREATE TABLE trade_busts (
    instrument text COLLATE "C" NOT NULL,
    trade_seq bigint NOT NULL,
    seq bigint NOT NULL,
    busted_at timestamptz NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (instrument, trade_seq)
)
"""
# The busts of a range.
BUSTS_BY_SEQ = "CREATE INDEX trade_busts_by_seq ON trade_busts (instrument, seq)"
LEDGER_ENTRIES = """
CREATE OR REPLACE VIEW ledger_entries AS
SELECT trades.instrument, report_seq AS seq, trades.seq AS number, trade_id, 'trade'::text AS kind,
    busts.seq AS counter_seq, price, quantity, buy_client_id, sell_client_id, buyer_fee, seller_fee,
    executed_at AS time
FROM trades LEFT JOIN trade_busts AS busts ON busts.instrument = trades.instrument AND busts.trade_seq = trades.seq
UNION ALL
SELECT busts.instrument, busts.seq, trades.seq, trade_id, 'bust', report_seq,
    price, quantity, buy_client_id, sell_client_id, buyer_fee, seller_fee, busted_at
FROM trade_busts AS busts JOIN trades ON trades.instrument = busts.instrument AND trades.seq = busts.trade_seq
"""
# Listings that were recorded before have this rule too.
QUOTE_SCALE = """UPDATE instruments SET listing = listing || '{"quote_scale": 8}' WHERE NOT listing ? 'quote_scale'"""


def upgrade() -> None:
    """Add the columns, the table with its index, and the rule; put fees and busts into the ledger."""
    for statement in (*FEES, TRADE_BUSTS, BUSTS_BY_SEQ, QUOTE_SCALE, LEDGER_ENTRIES):
        op.execute(statement)
