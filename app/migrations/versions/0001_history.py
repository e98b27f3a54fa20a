"""History: orders, their changes, trades, snapshots, rejections, instruments, and how far each has been recorded.

Prices and quantities are NUMERIC and keep the decimals they were reported with; times have the log's milliseconds.
Identifiers are ASCII and sort by byte everywhere, whatever the server's locale.
"""

from alembic import op

revision = "0001"
down_revision = None

# accepting_seq is the seq of the report in which the order first appears. A client may use a key again after its id
# window, so order_id alone is no key: the row with the largest accepting_seq is the order of that id.
ORDERS = """
CREATE TABLE orders (
    instrument text COLLATE "C" NOT NULL,
    accepting_seq bigint NOT NULL,
    seq bigint NOT NULL,
    order_id uuid NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    client_order_id text COLLATE "C" NOT NULL,
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
    instrument text COLLATE "C" NOT NULL,
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
    instrument text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    trade_id text COLLATE "C" NOT NULL UNIQUE,
    report_seq bigint NOT NULL,
    price numeric NOT NULL,
    quantity numeric NOT NULL,
    buy_order_id uuid NOT NULL,
    sell_order_id uuid NOT NULL,
    buy_client_id text COLLATE "C" NOT NULL,
    sell_client_id text COLLATE "C" NOT NULL,
    aggressor_side text NOT NULL,
    executed_at timestamptz NOT NULL,
    PRIMARY KEY (instrument, seq)
)
"""
# A snapshot's parts arrive with consecutive seqs, perhaps in several transactions; readers take complete ones.
BOOK_SNAPSHOTS = """
CREATE TABLE book_snapshots (
    instrument text COLLATE "C" NOT NULL,
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
    instrument text COLLATE "C" NOT NULL,
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
    instrument text COLLATE "C" PRIMARY KEY,
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
# docs/EXACTNESS.md, I9: both move in the transaction that writes the rows.
INSTRUMENT_PROGRESS = """
CREATE TABLE instrument_progress (
    instrument text COLLATE "C" PRIMARY KEY,
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
# So that a whole run goes in one message, which fails at its first statement if another sink was there.
REQUIRE_MOVED = """
CREATE FUNCTION require_moved(moved bigint, wanted bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF moved <> wanted THEN
        RAISE EXCEPTION 'only % of % positions are where this sink left them', moved, wanted USING ERRCODE = 'MS001';
    END IF;
END
$$
"""
INDEXES = (
    # What is this order, also when its key was used twice.
    "CREATE INDEX orders_by_id ON orders (order_id, accepting_seq)",
    # Newest first, of everyone and of one client; of one instrument the primary key does it.
    "CREATE INDEX orders_by_time ON orders (created_at)",
    "CREATE INDEX orders_by_client ON orders (client_id, created_at)",
    # Few at a time, or rare, and asked for by status: without these, a long history would be read for them.
    "CREATE INDEX orders_open ON orders (client_id, created_at) WHERE status IN ('new', 'partially_filled')",
    "CREATE INDEX orders_rare ON orders (client_id, created_at) WHERE status IN ('rejected', 'expired')",
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
    """Make the tables, their indexes, and the fence."""
    for statement in (*TABLES, *INDEXES, REQUIRE_MOVED):
        op.execute(statement)
