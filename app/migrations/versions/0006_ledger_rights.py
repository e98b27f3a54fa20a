"""Indexes for every list of the ledger, netted cycles that no role can change, and the mark of removed history."""

from alembic import op

revision = "0006"
down_revision = "0005"

INDEXES = (
    # The entries of a range in the order of statements, and the pages of the journal.
    "DROP INDEX trades_by_report",
    "CREATE INDEX trades_by_report ON trades (instrument, report_seq, seq)",
    # What one client traded: positions, balances, statements, its pages of the journal.
    "CREATE INDEX trades_by_buyer ON trades (buy_client_id, instrument, report_seq, seq)",
    "CREATE INDEX trades_by_seller ON trades (sell_client_id, instrument, report_seq, seq)",
    "CREATE INDEX instructions_by_client ON instructions (client_id, cycle, instruction)",
)
# Also for the owner of the tables: a mistake is corrected by a bust, an outcome, or a later cycle.
REFUSE_CHANGE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is of a cycle that is netted, and does not change', TG_TABLE_NAME USING ERRCODE = 'MS002';
END
$$
"""
_REFUSE = "FOR EACH ROW {} EXECUTE FUNCTION refuse_change()"
_CYCLE = "(old.cycle, old.key, old.cutoff_time, old.requested_at)"
_CYCLE_NOW = "(new.cycle, new.key, new.cutoff_time, new.requested_at)"
TRIGGERS = (
    *(
        f"CREATE TRIGGER unchanged BEFORE UPDATE OR DELETE ON {table} {_REFUSE.format('')}"
        for table in ("cycle_ranges", "obligations", "statements")
    ),
    *(
        f"CREATE TRIGGER undeleted BEFORE DELETE ON {table} {_REFUSE.format('')}"
        for table in ("cycles", "instructions")
    ),
    "CREATE TRIGGER unchanged BEFORE UPDATE ON cycles "
    + _REFUSE.format(
        f"WHEN ({_CYCLE} IS DISTINCT FROM {_CYCLE_NOW} OR old.state = 'settled' "
        "OR old.closed_at IS NOT NULL AND old.closed_at IS DISTINCT FROM new.closed_at "
        "OR old.seal IS NOT NULL AND (old.seal IS DISTINCT FROM new.seal OR new.state <> 'settled'))"
    ),
    "CREATE TRIGGER unchanged BEFORE UPDATE ON instructions "
    + _REFUSE.format(
        "WHEN ((old.cycle, old.instruction, old.client_id, old.asset, old.amount) "
        "IS DISTINCT FROM (new.cycle, new.instruction, new.client_id, new.asset, new.amount) "
        "OR old.state <> 'pending' "
        "AND (old.state, old.reason, old.decided_at) IS DISTINCT FROM (new.state, new.reason, new.decided_at) "
        "OR old.sealed_in IS NOT NULL AND old.sealed_in IS DISTINCT FROM new.sealed_in)"
    ),
)
# Of each market: the history of orders up to its cutoff in this cycle was removed (`retention`).
REMOVED_HISTORY = """
CREATE TABLE removed_history (
    instrument text COLLATE "C" PRIMARY KEY,
    cycle bigint NOT NULL,
    FOREIGN KEY (cycle, instrument) REFERENCES cycle_ranges (cycle, instrument)
)
"""


def upgrade() -> None:
    """Make the indexes, the triggers and the table."""
    for statement in (*INDEXES, REFUSE_CHANGE, *TRIGGERS, REMOVED_HISTORY):
        op.execute(statement)
