"""The rights of the workers' role: it reads everything, adds rows, changes what recording and clearing must, deletes
nothing, and owns nothing, so it cannot drop the triggers that protect netted cycles."""

import psycopg2
from psycopg2 import sql

from app.postgres.errors import translated

CONNECT_TIMEOUT_S = 10
RIGHTS = """
GRANT USAGE ON SCHEMA public TO {role};
GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};
GRANT INSERT ON orders, order_events, trades, trade_busts, book_snapshots, rejections, instruments, instrument_progress,
    sink_progress, candles, tickers, cycles, cycle_ranges, cycle_positions, obligations, instructions, statements
    TO {role};
GRANT UPDATE ON orders, book_snapshots, instruments, instrument_progress, sink_progress, candles, tickers TO {role};
GRANT UPDATE (state, closed_at, seal, has_positions) ON cycles TO {role};
GRANT UPDATE (state, reason, decided_at, sealed_in) ON instructions TO {role};
"""


def grant(database_url: str, role: str) -> None:
    """Give an existing role the rights that the workers need; repeat it after each upgrade. Raises Away or Refused."""
    try:
        connection = psycopg2.connect(database_url, connect_timeout=CONNECT_TIMEOUT_S)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql.SQL(RIGHTS).format(role=sql.Identifier(role)))
        finally:
            connection.close()
    except psycopg2.Error as error:
        raise translated(error) from error
