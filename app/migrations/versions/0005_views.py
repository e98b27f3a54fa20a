"""Views for analysts, in the schema `market`, and the role `matchstream_reader`, which may read them and nothing else.

Their columns stay when tables change (docs/ANALYTICS.md).
"""

from alembic import op

revision = "0005"
down_revision = "0004"

ROLE = "matchstream_reader"
TRADES = """
CREATE VIEW market.trades AS
SELECT trades.instrument, trades.seq, trade_id, report_seq, price, quantity, buy_order_id, sell_order_id, buy_client_id,
    sell_client_id, aggressor_side, executed_at, buyer_fee, seller_fee, busts.seq AS bust_seq, busted_at,
    busts.reason AS bust_reason
FROM public.trades LEFT JOIN public.trade_busts AS busts
    ON busts.instrument = trades.instrument AND busts.trade_seq = trades.seq
"""
ORDERS = """
CREATE VIEW market.orders AS
SELECT instrument, accepting_seq, seq, order_id, client_id, client_order_id, side, type, time_in_force, price,
    stop_price, quantity, filled_quantity, remaining_quantity, avg_price, display_quantity, status, reason, triggered,
    post_only, self_trade_prevention, expire_time, created_at, updated_at, fees
FROM public.orders
"""
CANDLES = """
CREATE VIEW market.candles AS
SELECT instrument, interval, open_time, close_time, open, high, low, close, volume, quote_volume, trades,
    taker_buy_volume, taker_buy_quote_volume, first_trade_seq, last_trade_seq, seq, closed, revision
FROM public.candles
"""
# A role belongs to the whole server, where another database of ours may have made it, or be making it now.
MAKE_ROLE = f"""
DO $$
BEGIN
    CREATE ROLE {ROLE} NOLOGIN;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN
        RAISE WARNING 'cannot make the role {ROLE}: docs/ANALYTICS.md says how an administrator does';
END
$$
"""
GRANT = f"""
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
        GRANT USAGE ON SCHEMA market TO {ROLE};
        GRANT SELECT ON ALL TABLES IN SCHEMA market TO {ROLE};
    END IF;
END
$$
"""


def upgrade() -> None:
    """Make the views and the role."""
    for statement in ("CREATE SCHEMA market", TRADES, ORDERS, CANDLES, MAKE_ROLE, GRANT):
        op.execute(statement)
