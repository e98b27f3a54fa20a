"""The workers' role can record and clear, and can change or delete nothing that is recorded or settled."""

from collections.abc import AsyncIterator
from uuid import uuid4

import psycopg2
import pytest
from psycopg2.extensions import make_dsn, parse_dsn

from app.postgres import Refused
from app.postgres.roles import grant
from app.postgres.schema import migrate
from tests.clearing.projected import Projected, record, records
from tests.clearing.test_projection import TWO_CYCLES
from tests.postgres.recorded import ask, market, recording
from tests.postgres.recorded import records as reports

DENIED = [
    *(f"DELETE FROM {table}" for table in ("trades", "orders", "cycles", "cycle_ranges", "obligations", "statements")),
    *(f"UPDATE {table} SET instrument = instrument" for table in ("trades", "order_events", "cycle_ranges")),
    "UPDATE trade_busts SET seq = 1",
    "UPDATE obligations SET net = net",
    "UPDATE cycle_positions SET bought = bought",
    "UPDATE instructions SET amount = amount",
    "UPDATE statements SET digest = ''",
    "UPDATE cycles SET key = key",
    "TRUNCATE trades",
    "ALTER TABLE obligations DISABLE TRIGGER USER",
    "DROP TABLE statements",
    "INSERT INTO removed_history SELECT instrument, 1 FROM instruments",
]
UNCHANGED = [
    "UPDATE cycles SET seal = repeat('0', 64)",
    "UPDATE cycles SET state = 'closed', seal = NULL",
    "UPDATE cycles SET closed_at = now()",
    "UPDATE instructions SET state = 'settled' WHERE state = 'failed'",
    "UPDATE instructions SET state = 'pending', decided_at = NULL",
    "UPDATE instructions SET sealed_in = 1 WHERE sealed_in = 2",
]
OF_NOBODY = [
    "UPDATE obligations SET opening = opening + 1, closing = closing + 1",
    "UPDATE instructions SET amount = amount + 1",
    "UPDATE statements SET digest = repeat('0', 64)",
    "UPDATE cycle_positions SET bought = bought + 1",
    "UPDATE cycle_ranges SET to_seq = to_seq + 1",
    "UPDATE cycles SET key = 'other'",
    *(
        f"DELETE FROM {table}"
        for table in ("statements", "instructions", "obligations", "cycle_positions", "cycle_ranges", "cycles")
    ),
]


@pytest.fixture
async def role_url(database_url: str) -> AsyncIterator[str]:
    """The database as the workers' role sees it."""
    migrate(database_url)
    role = f"workers_{uuid4().hex[:8]}"
    ask(database_url, f"CREATE ROLE {role} LOGIN")
    grant(database_url, role)
    grant(database_url, role)
    yield make_dsn(database_url, user=role)
    ask(database_url, f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_the_workers_role_records_and_clears_and_no_more(database_url: str, role_url: str) -> None:
    """What it may do is enough for a day with two cycles; the rest is refused, by right or by trigger."""
    async with recording(role_url) as at_work:
        await at_work.take(reports(market(seed=3, count=200)))
    assert ask(database_url, "SELECT count(*) > 0 FROM trades") == [(True,)]

    record(database_url, TWO_CYCLES)
    async with Projected(role_url) as projected:
        await projected.settling.take(records(TWO_CYCLES))
    before = ask(database_url, "SELECT * FROM obligations ORDER BY cycle, client_id, asset")
    assert ask(role_url, "SELECT count(seal) FROM cycles") == [(2,)]
    for statement in DENIED:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            ask(role_url, statement)
    for url, statements in ((role_url, UNCHANGED), (database_url, UNCHANGED + OF_NOBODY)):
        for statement in statements:
            with pytest.raises(psycopg2.Error, match="of a cycle that is netted, and does not change"):
                ask(url, statement)
    assert ask(database_url, "SELECT * FROM obligations ORDER BY cycle, client_id, asset") == before


async def test_the_workers_role_may_add_rows_to_every_table(database_url: str, role_url: str) -> None:
    """Also to the tables of later releases, but for what only the owner writes."""
    role = parse_dsn(role_url)["user"]
    query = """SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
        AND NOT has_table_privilege(%s, oid, 'INSERT') ORDER BY relname"""
    assert ask(database_url, query, role) == [("alembic_version",), ("removed_history",)]


def test_a_role_that_does_not_exist_is_named(database_url: str) -> None:
    """With what to do."""
    migrate(database_url)
    with pytest.raises(Refused, match='role "nobody-here" does not exist; make the role first'):
        grant(database_url, "nobody-here")
