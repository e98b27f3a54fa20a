"""The gateway's web server: every route on one page."""

from typing import Any

from app import app
from web import admin, changing, health, lookup, market, metrics, placing
from web.access import guarded, say_limits_of
from web.exposure import check_exposure
from web.gateway import close_streams, drain, run_gateway
from web.routes import Route, serve_routes

API = "/api/v1"
ORDER = f"{API}/orders/{{order_id}}"
BY_KEY = f"{API}/orders/by-client-id/{{client_id}}/{{instrument}}/{{key}}"


ROUTES = (
    Route("POST", f"{API}/orders", placing.place_order, "Place an order"),
    Route("POST", f"{API}/orders/batch", placing.place_batch, "Place up to 1,000 orders"),
    Route("GET", f"{API}/orders", lookup.list_orders, "Orders, newest first"),
    Route("DELETE", f"{API}/orders", changing.cancel_orders, "Cancel all open orders of a client"),
    Route("GET", BY_KEY, lookup.get_order_by_key, "One order by its key"),
    Route("GET", ORDER, lookup.get_order, "One order"),
    Route("PATCH", ORDER, changing.amend_order, "Set an order's price or total quantity"),
    Route("DELETE", ORDER, changing.cancel_order, "Cancel an order"),
    Route("POST", f"{ORDER}/cancel", changing.cancel_order, "Cancel an order"),
    Route("GET", f"{ORDER}/events", lookup.list_order_events, "What happened to an order, oldest first"),
    Route("GET", f"{API}/trades", market.list_trades, "Trades, newest first"),
    Route("GET", f"{API}/orderbook", market.get_orderbook, "The order book of an instrument"),
    Route("GET", f"{API}/instruments", market.list_instruments, "Listed instruments"),
    Route("POST", f"{API}/instruments", admin.list_instrument, "List an instrument, or change its rules"),
    Route("POST", f"{API}/instruments/{{instrument}}/halt", admin.halt_instrument, "Halt an instrument"),
    Route("POST", f"{API}/instruments/{{instrument}}/resume", admin.resume_instrument, "Resume an instrument"),
    Route("GET", "/ws/trades", market.trade_stream, "Trades as they happen, over a WebSocket"),
    Route("GET", "/healthz", health.healthz, "Whether this process lives"),
    Route("GET", "/readyz", health.readyz, "Whether this process takes orders"),
    Route("GET", "/metrics", metrics.metrics, "Figures for Prometheus"),
)


@app.at_worker_start
def serve() -> None:
    """Only a worker has a web server; the other commands of the command line do not make one."""
    check_exposure()
    web_app = serve_routes(guarded(ROUTES))
    say_limits_of(web_app)
    web_app.cleanup_ctx.append(run_gateway)
    web_app.on_shutdown.append(close_streams)
    app.on_before_shutdown.connect(stop_taking_orders)


async def stop_taking_orders(_app: Any, **_: Any) -> None:
    """The first thing that happens after SIGTERM; the server closes when this is over."""
    await drain(app.web.web_app)
