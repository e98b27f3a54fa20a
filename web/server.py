"""The gateway's web server: every route on one page."""

from typing import Any

from app import app, settings
from web import admin, calls, changing, docs, health, lookup, market, metrics, openapi, placing, snapshots
from web.access import guarded, say_limits_of
from web.exposure import check_exposure
from web.gateway import close_streams, drain, run_gateway
from web.routes import Route, serve_routes

API = "/api/v1"
ORDER = f"{API}/orders/{{order_id}}"
INSTRUMENT = f"{API}/instruments/{{instrument}}"
BY_KEY = f"{API}/orders/by-client-id/{{client_id}}/{{instrument}}/{{key}}"


ROUTES = (
    Route("POST", f"{API}/orders", placing.place_order, "Place an order", calls.PLACE),
    Route("POST", f"{API}/orders/batch", placing.place_batch, "Place up to 1,000 orders", calls.PLACE_BATCH),
    Route("GET", f"{API}/orders", lookup.list_orders, "Orders, newest first", calls.LIST_ORDERS),
    Route("DELETE", f"{API}/orders", changing.cancel_orders, "Cancel all open orders of a client", calls.CANCEL_ALL),
    Route("GET", BY_KEY, lookup.get_order_by_key, "One order by its key", calls.GET_ORDER),
    Route("GET", ORDER, lookup.get_order, "One order", calls.GET_ORDER),
    Route("PATCH", ORDER, changing.amend_order, "Set an order's price or total quantity", calls.AMEND),
    Route("DELETE", ORDER, changing.cancel_order, "Cancel an order", calls.CANCEL),
    Route("POST", f"{ORDER}/cancel", changing.cancel_order, "Cancel an order", calls.CANCEL),
    Route("GET", f"{ORDER}/events", lookup.list_order_events, "An order's history", calls.ORDER_EVENTS),
    Route("GET", f"{API}/trades", market.list_trades, "Trades, newest first", calls.LIST_TRADES),
    Route("GET", f"{API}/orderbook", market.get_orderbook, "The order book of an instrument", calls.GET_BOOK),
    Route("GET", f"{API}/instruments", market.list_instruments, "Listed instruments", calls.LIST_INSTRUMENTS),
    Route("POST", f"{API}/instruments", admin.list_instrument, "List an instrument", calls.LIST_INSTRUMENT),
    Route("POST", f"{INSTRUMENT}/halt", admin.halt_instrument, "Halt an instrument", calls.SWITCH_INSTRUMENT),
    Route("POST", f"{INSTRUMENT}/resume", admin.resume_instrument, "Resume an instrument", calls.SWITCH_INSTRUMENT),
    Route("POST", f"{API}/snapshots", snapshots.take_snapshots, "Take snapshots of books", calls.TAKE_SNAPSHOTS),
    Route("GET", f"{API}/snapshots", snapshots.list_snapshots, "Recorded snapshots of books", calls.LIST_SNAPSHOTS),
    Route("GET", "/ws/trades", market.trade_stream, "Trades as they happen, over a WebSocket", calls.TRADE_STREAM),
    Route("GET", "/healthz", health.healthz, "Whether this process lives", calls.HEALTH),
    Route("GET", "/readyz", health.readyz, "Whether this process takes orders", calls.READINESS),
    Route("GET", "/metrics", metrics.metrics, "Figures for Prometheus", calls.METRICS),
    Route("GET", f"{API}/openapi.json", docs.openapi, "The OpenAPI document", calls.DOCUMENT),
    Route("GET", "/docs", docs.docs, "This API as a page", calls.DOCS),
    Route("GET", "/docs/rapidoc-min.js", docs.rapidoc, "The script of that page"),
)


@app.at_worker_start
def serve() -> None:
    """Only a worker has a web server; the other commands of the command line do not make one."""
    check_exposure()
    web_app = serve_routes(guarded(ROUTES), has_keys=settings.auth == "keys")
    web_app[docs.DOCUMENT] = openapi.document(ROUTES)
    say_limits_of(web_app)
    web_app.cleanup_ctx.append(run_gateway)
    web_app.on_shutdown.append(close_streams)
    app.on_before_shutdown.connect(stop_taking_orders)


async def stop_taking_orders(_app: Any, **_: Any) -> None:
    """The first thing that happens after SIGTERM; the server closes when this is over."""
    await drain(app.web.web_app)
