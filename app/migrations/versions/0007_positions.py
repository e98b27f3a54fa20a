"""What each netted cycle changed in each client's position, so that nobody has to add up all trades of a client."""

from alembic import op

revision = "0007"
down_revision = "0006"

CYCLE_POSITIONS = """
CREATE TABLE cycle_positions (
    cycle bigint NOT NULL,
    instrument text COLLATE "C" NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    bought numeric NOT NULL,
    sold numeric NOT NULL,
    paid numeric NOT NULL,
    received numeric NOT NULL,
    fees numeric NOT NULL,
    PRIMARY KEY (client_id, instrument, cycle),
    FOREIGN KEY (cycle, instrument) REFERENCES cycle_ranges (cycle, instrument)
)
"""
BY_CYCLE = "CREATE INDEX cycle_positions_by_cycle ON cycle_positions (cycle)"
# The cycles that were netted before there was the table.
FILL = """
INSERT INTO cycle_positions
SELECT cycle, instrument, client_id,
    trim_scale(coalesce(sum(sign * quantity) FILTER (WHERE buys), 0)),
    trim_scale(coalesce(sum(sign * quantity) FILTER (WHERE NOT buys), 0)),
    trim_scale(coalesce(sum(sign * price * quantity) FILTER (WHERE buys), 0)),
    trim_scale(coalesce(sum(sign * price * quantity) FILTER (WHERE NOT buys), 0)),
    trim_scale(sum(sign * fee))
FROM cycles JOIN cycle_ranges AS ranges USING (cycle), LATERAL (
    SELECT price, quantity, buy_client_id, sell_client_id, buyer_fee, seller_fee,
        CASE kind WHEN 'trade' THEN 1 ELSE -1 END AS sign
    FROM ledger_entries WHERE instrument = ranges.instrument AND seq > ranges.after_seq AND seq <= ranges.to_seq
        AND (counter_seq IS NULL OR NOT (counter_seq > ranges.after_seq AND counter_seq <= ranges.to_seq)) OFFSET 0
) AS entries, LATERAL (VALUES (buy_client_id, true, buyer_fee), (sell_client_id, false, seller_fee))
    AS side(client_id, buys, fee)
WHERE state IN ('netted', 'settled') GROUP BY cycle, instrument, client_id
"""
# A worker of an older release knows nothing of positions: the constraint keeps it from netting a cycle without them.
HAS_POSITIONS = (
    "DROP TRIGGER unchanged ON cycles",
    "ALTER TABLE cycles ADD COLUMN has_positions boolean NOT NULL DEFAULT false",
    "UPDATE cycles SET has_positions = true WHERE state IN ('netted', 'settled')",
    "ALTER TABLE cycles ADD CONSTRAINT netted_with_positions CHECK (has_positions = (state IN ('netted', 'settled')))",
)
TRIGGERS = (
    """CREATE TRIGGER unchanged BEFORE UPDATE OR DELETE ON cycle_positions
    FOR EACH ROW EXECUTE FUNCTION refuse_change()""",
    """CREATE TRIGGER unchanged BEFORE UPDATE ON cycles FOR EACH ROW
    WHEN ((old.cycle, old.key, old.cutoff_time, old.requested_at)
            IS DISTINCT FROM (new.cycle, new.key, new.cutoff_time, new.requested_at)
        OR old.state = 'settled'
        OR old.closed_at IS NOT NULL AND old.closed_at IS DISTINCT FROM new.closed_at
        OR old.seal IS NOT NULL AND (old.seal IS DISTINCT FROM new.seal OR new.state <> 'settled'))
    EXECUTE FUNCTION refuse_change()""",
)


def upgrade() -> None:
    """Make the table, fill it, and hold cycles to it."""
    for statement in (CYCLE_POSITIONS, BY_CYCLE, FILL, *HAS_POSITIONS, *TRIGGERS):
        op.execute(statement)
