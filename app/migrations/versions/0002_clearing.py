"""Clearing: cycles and the ranges that they own, obligations, instructions, digests of statements; views of the ledger.

Tables hold what the topic `clearing` decides and what follows from it. Trades are not marked and not copied: the views
unfold them. Amounts are NUMERIC without trailing zeros. docs/CLEARING.md defines every number.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

CYCLES = """
CREATE TABLE cycles (
    cycle bigint PRIMARY KEY CHECK (cycle >= 1),
    key text COLLATE "C" NOT NULL UNIQUE,
    state text NOT NULL CHECK (state IN ('open', 'closed', 'netted', 'settled')),
    cutoff_time timestamptz,
    requested_at timestamptz NOT NULL,
    closed_at timestamptz,
    seal text,
    CHECK ((state = 'open') = (closed_at IS NULL)),
    CHECK (seal IS NULL OR state IN ('netted', 'settled')),
    CHECK (state <> 'settled' OR seal IS NOT NULL)
)
"""
# C2: each range begins where another one of its instrument ends, and no two begin or end at the same seq.
CYCLE_RANGES = """
CREATE TABLE cycle_ranges (
    cycle bigint NOT NULL REFERENCES cycles,
    instrument text COLLATE "C" NOT NULL,
    after_seq bigint NOT NULL,
    to_seq bigint NOT NULL,
    previous_seq bigint GENERATED ALWAYS AS (NULLIF(after_seq, 0)) STORED,
    PRIMARY KEY (cycle, instrument),
    UNIQUE (instrument, after_seq),
    UNIQUE (instrument, to_seq),
    FOREIGN KEY (instrument, previous_seq) REFERENCES cycle_ranges (instrument, to_seq),
    CHECK (0 <= after_seq AND after_seq < to_seq)
)
"""
OBLIGATIONS = """
CREATE TABLE obligations (
    cycle bigint NOT NULL REFERENCES cycles,
    client_id text COLLATE "C" NOT NULL,
    asset text COLLATE "C" NOT NULL,
    gross_in numeric NOT NULL CHECK (gross_in >= 0),
    gross_out numeric NOT NULL CHECK (gross_out >= 0),
    fees numeric NOT NULL,
    carried numeric NOT NULL,
    net numeric NOT NULL,
    opening numeric NOT NULL,
    closing numeric NOT NULL,
    PRIMARY KEY (client_id, asset, cycle),
    CHECK (net = gross_in - gross_out - fees + carried),
    CHECK (closing = opening + gross_in - gross_out - fees)
)
"""
# sealed_in: the cycle whose seal has the outcome, into which a failed instruction is carried.
INSTRUCTIONS = """
CREATE TABLE instructions (
    cycle bigint NOT NULL REFERENCES cycles,
    instruction bigint NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    asset text COLLATE "C" NOT NULL,
    amount numeric NOT NULL CHECK (amount <> 0),
    state text NOT NULL CHECK (state IN ('pending', 'settled', 'failed')),
    reason text,
    decided_at timestamptz,
    sealed_in bigint REFERENCES cycles,
    PRIMARY KEY (cycle, instruction),
    CHECK ((state = 'pending') = (decided_at IS NULL))
)
"""
STATEMENTS = """
CREATE TABLE statements (
    cycle bigint NOT NULL REFERENCES cycles,
    client_id text COLLATE "C" NOT NULL,
    digest text NOT NULL,
    PRIMARY KEY (cycle, client_id)
)
"""
# A time is over for an instrument once a report of that time or a later one is recorded.
LAST_TIME = "ALTER TABLE instrument_progress ADD COLUMN last_time timestamptz"
# counter_seq: of a trade the seq of its bust, of a bust the seq of its trade.
LEDGER_ENTRIES = """
CREATE VIEW ledger_entries AS
SELECT instrument, report_seq AS seq, seq AS number, trade_id, 'trade'::text AS kind, NULL::bigint AS counter_seq,
    price, quantity, buy_client_id, sell_client_id, 0::numeric AS buyer_fee, 0::numeric AS seller_fee,
    executed_at AS time
FROM trades
"""
LEDGER_LEGS = """
CREATE VIEW ledger_legs AS
SELECT entries.instrument, entries.seq, entries.number, entries.trade_id, entries.kind, entries.time,
    legs.account, legs.asset, legs.amount, legs.is_fee
FROM ledger_entries AS entries JOIN instruments USING (instrument),
    LATERAL (SELECT CASE entries.kind WHEN 'trade' THEN 1 ELSE -1 END AS sign, price * quantity AS notional) AS of_it,
    LATERAL (VALUES
        (buy_client_id, base_asset, sign * quantity, false),
        (buy_client_id, quote_asset, -sign * notional, false),
        ('@ccp', base_asset, -sign * quantity, false),
        ('@ccp', quote_asset, sign * notional, false),
        (sell_client_id, base_asset, -sign * quantity, false),
        (sell_client_id, quote_asset, sign * notional, false),
        ('@ccp', base_asset, sign * quantity, false),
        ('@ccp', quote_asset, -sign * notional, false),
        (buy_client_id, quote_asset, -sign * buyer_fee, true),
        ('@fees', quote_asset, sign * buyer_fee, true),
        (sell_client_id, quote_asset, -sign * seller_fee, true),
        ('@fees', quote_asset, sign * seller_fee, true)
    ) AS legs(account, asset, amount, is_fee)
WHERE NOT is_fee OR amount <> 0
"""
# docs/CLEARING.md, Statements: SHA-256 of the digest so far and the next line, from 32 zero bytes.
CHAIN_STEP = """
CREATE FUNCTION chain_step(digest bytea, line text) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT sha256(digest || convert_to(line, 'UTF8')) $$
"""
CHAINED = f"""
CREATE AGGREGATE chained(text) (sfunc = chain_step, stype = bytea, initcond = '\\x{"00" * 32}')
"""
INDEXES = (
    # The trades of a range.
    "CREATE INDEX trades_by_report ON trades (instrument, report_seq)",
    "CREATE INDEX obligations_by_cycle ON obligations (cycle, client_id, asset)",
    # What is pending, or decided and in no seal yet.
    "CREATE INDEX instructions_unsealed ON instructions (cycle, instruction) WHERE sealed_in IS NULL",
    "CREATE INDEX instructions_by_seal ON instructions (sealed_in)",
)


def upgrade() -> None:
    """Make the tables, their indexes, the views, and the chain of digests."""
    tables = (CYCLES, CYCLE_RANGES, OBLIGATIONS, INSTRUCTIONS, STATEMENTS)
    for statement in (*tables, LAST_TIME, *INDEXES, LEDGER_ENTRIES, LEDGER_LEGS, CHAIN_STEP, CHAINED):
        op.execute(statement)
