"""Fees of trades and orders, and the trades that were busted (docs/MATCHING.md, R16 and R17)."""

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
# Listings that were recorded before have this rule too.
QUOTE_SCALE = """UPDATE instruments SET listing = listing || '{"quote_scale": 8}' WHERE NOT listing ? 'quote_scale'"""


def upgrade() -> None:
    """Add the columns, the table, and the rule."""
    for statement in (*FEES, TRADE_BUSTS, QUOTE_SCALE):
        op.execute(statement)
