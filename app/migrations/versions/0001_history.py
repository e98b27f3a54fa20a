"""History: orders, their changes, trades, snapshots, rejections, instruments, and how far each has been recorded.

Prices and quantities are NUMERIC and keep the decimals they were reported with; times have the log's milliseconds.
"""

from alembic import op

revision = "0001"
down_revision = None

# accepting_seq is the seq of the report in which the order first appears. A client may use a key again after its id
# window, so order_id alone is no key: the row with the largest accepting_seq is the order of that id.
ORDERS = """
CREATE TABLE orders (
    instrument text NOT NULL,
    accepting_seq bigint NOT NULL,
    seq bigint NOT NULL,
    order_id uuid NOT NULL,
    client_id text NOT NULL,
    client_order_id text NOT NULL,
    side text NOT NULL,
    type text NOT NULL,
    time_in_force text NOT NULL,
    price numeric,
    stop_price numeric,
    quantity numeric NOT NULL,
    filled_quantity numeric NOT NULL,
    remaining_quantity numeric NOT NULL,
    avg_price numeric,
    display_quantity numeric,
    status text NOT NULL,
    reason text,
    triggered boolean NOT NULL,
    post_only boolean NOT NULL,
    self_trade_prevention text,
    expire_time timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (instrument, accepting_seq)
)
"""
ORDER_EVENTS = """
CREATE TABLE order_events (
    order_id uuid NOT NULL,
    instrument text NOT NULL,
    seq bigint NOT NULL,
    time timestamptz NOT NULL,
    status text NOT NULL,
    reason text,
    price numeric,
    quantity numeric NOT NULL,
    filled_quantity numeric NOT NULL,
    remaining_quantity numeric NOT NULL,
    avg_price numeric,
    last_price numeric,
    last_quantity numeric,
    liquidity text,
    triggered boolean NOT NULL,
    PRIMARY KEY (order_id, seq)
)
"""
TRADES = """
CREATE TABLE trades (
    instrument text NOT NULL,
    seq bigint NOT NULL,
    trade_id text NOT NULL UNIQUE,
    report_seq bigint NOT NULL,
    price numeric NOT NULL,
    quantity numeric NOT NULL,
    buy_order_id uuid NOT NULL,
    sell_order_id uuid NOT NULL,
    buy_client_id text NOT NULL,
    sell_client_id text NOT NULL,
    aggressor_side text NOT NULL,
    executed_at timestamptz NOT NULL,
    PRIMARY KEY (instrument, seq)
)
"""
# A snapshot's parts arrive with consecutive seqs, perhaps in several transactions; readers take complete ones.
BOOK_SNAPSHOTS = """
CREATE TABLE book_snapshots (
    instrument text NOT NULL,
    first_seq bigint NOT NULL,
    seq bigint NOT NULL,
    time timestamptz NOT NULL,
    levels jsonb NOT NULL,
    complete boolean NOT NULL,
    PRIMARY KEY (instrument, first_seq)
)
"""
REJECTIONS = """
CREATE TABLE rejections (
    instrument text NOT NULL,
    seq bigint NOT NULL,
    source_offset bigint NOT NULL,
    time timestamptz NOT NULL,
    reason text NOT NULL,
    raw text NOT NULL,
    order_id uuid,
    PRIMARY KEY (instrument, seq)
)
"""
INSTRUMENTS = """
CREATE TABLE instruments (
    instrument text PRIMARY KEY,
    seq bigint NOT NULL,
    base_asset text NOT NULL,
    quote_asset text NOT NULL,
    tick_size numeric NOT NULL,
    lot_size numeric NOT NULL,
    listing jsonb NOT NULL,
    market_status text NOT NULL,
    updated_at timestamptz NOT NULL
)
"""
# exactness.md, I9: both move in the transaction that writes the rows.
INSTRUMENT_PROGRESS = """
CREATE TABLE instrument_progress (
    instrument text PRIMARY KEY,
    partition integer NOT NULL,
    last_seq bigint NOT NULL
)
"""
SINK_PROGRESS = """
CREATE TABLE sink_progress (
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    log_id text NOT NULL,
    PRIMARY KEY (topic, partition)
)
"""
INDEXES = (
    # What is this order, also when its key was used twice.
    "CREATE INDEX orders_by_id ON orders (order_id, accepting_seq)",
    # Newest first, of everyone and of one client; of one instrument the primary key does it.
    "CREATE INDEX orders_by_time ON orders (created_at)",
    "CREATE INDEX orders_by_client ON orders (client_id, created_at)",
    "CREATE INDEX trades_by_time ON trades (executed_at)",
    "CREATE INDEX book_snapshots_by_time ON book_snapshots (time)",
    "CREATE INDEX rejections_by_order ON rejections (order_id) WHERE order_id IS NOT NULL",
    "CREATE INDEX instrument_progress_by_partition ON instrument_progress (partition)",
)
TABLES = (
    ORDERS,
    ORDER_EVENTS,
    TRADES,
    BOOK_SNAPSHOTS,
    REJECTIONS,
    INSTRUMENTS,
    INSTRUMENT_PROGRESS,
    SINK_PROGRESS,
)


def upgrade() -> None:
    """Make the tables, then their indexes."""
    for statement in (*TABLES, *INDEXES):
        op.execute(statement)
