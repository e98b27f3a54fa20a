"""The gateway's web server: one table of every route with its role, and the server's start."""

from typing import Any

from app import app, settings
from app.models.api_keys import KeyRole
from web.access import guarded, say_limits_of
from web.edge.exposure import check_exposure
from web.edge.routes import Route, serve_routes
from web.edge.scraping import metrics
from web.hosting import close_streams, drain, run_gateway
from web.rest import (
    asyncapi,
    busts,
    calls,
    candles,
    changing,
    clearing,
    docs,
    fees,
    health,
    instruments,
    journal,
    market_data,
    openapi,
    orders,
    page,
    placing,
    quality,
    snapshots,
    stream,
    udf,
    vwap,
)

API = "/api/v1"
ORDERS, INSTRUMENTS, SNAPSHOTS = f"{API}/orders", f"{API}/instruments", f"{API}/snapshots"
SETTLEMENTS, STATEMENT = f"{API}/settlements", f"{API}/clients/{{client_id}}/statements/{{cycle}}"
CYCLE, POSITIONS = f"{SETTLEMENTS}/{{cycle}}", f"{API}/clients/{{client_id}}/positions"
BALANCES = f"{API}/clients/{{client_id}}/balances"
ORDER, INSTRUMENT = f"{ORDERS}/{{order_id}}", f"{INSTRUMENTS}/{{instrument}}"
QUALITY = f"{API}/markets/{{instrument}}/quality"
BY_KEY = f"{ORDERS}/by-client-id/{{client_id}}/{{instrument}}/{{key}}"
VIEWER, TRADER, ADMIN = KeyRole.VIEWER, KeyRole.TRADER, KeyRole.ADMIN

ROUTES = (
    Route("POST", ORDERS, TRADER, placing.place_order, "Place an order", calls.PLACE),
    Route("POST", f"{ORDERS}/batch", TRADER, placing.place_batch, "Place up to 1,000 orders", calls.PLACE_BATCH),
    Route("GET", ORDERS, VIEWER, orders.list_orders, "Orders, newest first", calls.LIST_ORDERS),
    Route("DELETE", ORDERS, TRADER, changing.cancel_orders, "Cancel all open orders of a client", calls.CANCEL_ALL),
    Route("GET", BY_KEY, VIEWER, orders.get_order_by_key, "One order by its key", calls.GET_ORDER),
    Route("GET", ORDER, VIEWER, orders.get_order, "One order", calls.GET_ORDER),
    Route("PATCH", ORDER, TRADER, changing.amend_order, "Set an order's price or total quantity", calls.AMEND),
    Route("DELETE", ORDER, TRADER, changing.cancel_order, "Cancel an order", calls.CANCEL),
    Route("POST", f"{ORDER}/cancel", TRADER, changing.cancel_order, "Cancel an order", calls.CANCEL),
    Route("GET", f"{ORDER}/events", VIEWER, orders.list_order_events, "An order's history", calls.ORDER_EVENTS),
    Route("GET", f"{API}/trades", VIEWER, market_data.list_trades, "Trades, newest first", calls.LIST_TRADES),
    Route(
        "GET", f"{API}/orderbook", VIEWER, market_data.get_orderbook, "The order book of an instrument", calls.GET_BOOK
    ),
    Route("GET", f"{API}/candles", VIEWER, candles.list_candles, "Bars, newest first", calls.LIST_CANDLES),
    Route("GET", f"{API}/ticker", VIEWER, candles.get_ticker, "The last 24 hours", calls.GET_TICKER),
    Route("GET", f"{API}/vwap", VIEWER, vwap.get_vwap, "The average price of the trades of a span", calls.GET_VWAP),
    Route("GET", QUALITY, VIEWER, quality.get_quality, "The quality of a market", calls.GET_QUALITY),
    Route("GET", INSTRUMENTS, VIEWER, market_data.list_instruments, "Listed instruments", calls.LIST_INSTRUMENTS),
    Route("POST", INSTRUMENTS, ADMIN, instruments.list_instrument, "List an instrument", calls.LIST_INSTRUMENT),
    Route("POST", f"{INSTRUMENT}/halt", ADMIN, instruments.halt_instrument, "Halt an instrument", calls.SWITCH),
    Route("POST", f"{INSTRUMENT}/resume", ADMIN, instruments.resume_instrument, "Resume an instrument", calls.SWITCH),
    Route("PUT", f"{INSTRUMENT}/fees", ADMIN, fees.set_fees, "Set what fills of an instrument cost", calls.SET_FEES),
    Route("GET", f"{API}/fees", VIEWER, fees.list_fees, "What fills cost, by instrument", calls.LIST_FEES),
    Route("POST", f"{API}/trades/{{trade_id}}/bust", ADMIN, busts.bust_trade, "Cancel an erroneous trade", calls.BUST),
    Route("POST", SNAPSHOTS, ADMIN, snapshots.take_snapshots, "Take snapshots of books", calls.TAKE_SNAPSHOTS),
    Route("GET", SNAPSHOTS, VIEWER, snapshots.list_snapshots, "Recorded snapshots of books", calls.LIST_SNAPSHOTS),
    Route("POST", SETTLEMENTS, ADMIN, clearing.settle, "Close and net a cycle", calls.SETTLE),
    Route("GET", SETTLEMENTS, VIEWER, clearing.list_cycles, "Cycles, newest first", calls.LIST_CYCLES),
    Route("GET", CYCLE, VIEWER, clearing.get_cycle, "One cycle", calls.GET_CYCLE),
    Route("GET", f"{CYCLE}/obligations", VIEWER, clearing.list_obligations, "Its obligations", calls.LIST_OBLIGATIONS),
    Route(
        "GET", f"{CYCLE}/instructions", VIEWER, clearing.list_instructions, "Its instructions", calls.LIST_INSTRUCTIONS
    ),
    Route(
        "POST",
        f"{CYCLE}/instructions/{{instruction}}",
        ADMIN,
        clearing.decide,
        "Say what became of an instruction",
        calls.DECIDE,
    ),
    Route("GET", POSITIONS, VIEWER, clearing.list_positions, "A client's positions", calls.LIST_POSITIONS),
    Route("GET", BALANCES, VIEWER, clearing.list_balances, "A client's balances", calls.LIST_BALANCES),
    Route("GET", f"{API}/journal", VIEWER, journal.list_entries, "A market's entries and legs", calls.LIST_ENTRIES),
    Route("GET", STATEMENT, VIEWER, clearing.get_statement, "A client's statement", calls.GET_STATEMENT),
    Route(
        "GET",
        "/ws/trades",
        VIEWER,
        stream.trade_stream,
        "Trades as they happen, over a WebSocket",
        calls.STREAM,
    ),
    Route("GET", "/stream", VIEWER, stream.stream, "Subscriptions over a WebSocket: docs/STREAMS.md", calls.SUBSCRIBE),
    Route("GET", "/udf/config", VIEWER, udf.get_config, "What chart clients may ask for", calls.UDF_CONFIG),
    Route("GET", "/udf/symbols", VIEWER, udf.get_symbol, "A market, for chart clients", calls.UDF_RESOLVE),
    Route("GET", "/udf/search", VIEWER, udf.search_symbols, "Markets by name, for chart clients", calls.UDF_SEARCH),
    Route("GET", "/udf/history", VIEWER, udf.get_history, "Bars, for chart clients", calls.UDF_HISTORY),
    Route("GET", "/udf/time", VIEWER, udf.get_time, "This server's time, for chart clients", calls.UDF_TIME),
    Route("GET", "/healthz", None, health.healthz, "Whether this process lives", calls.HEALTH),
    Route("GET", "/readyz", None, health.readyz, "Whether this process takes orders", calls.READINESS),
    Route("GET", f"{API}/pipeline", VIEWER, health.pipeline, "How far each stage is", calls.PIPELINE),
    Route("GET", "/metrics", None, metrics, "Figures for Prometheus", calls.METRICS),
    Route("GET", f"{API}/openapi.json", None, docs.openapi, "The OpenAPI document", calls.DOCUMENT),
    Route("GET", f"{API}/asyncapi.json", None, docs.asyncapi, "The AsyncAPI document of the streams", calls.DOCUMENT),
    Route("GET", "/docs", None, docs.docs, "This API as a page", calls.DOCS),
    Route("GET", "/docs/rapidoc-min.js", None, docs.rapidoc, "The script of that page"),
    Route("GET", "/", None, page.index, "The venue as a page"),
    Route("GET", "/static/{file:.+}", None, page.static, "The files of that page"),
)


@app.at_worker_start
def serve() -> None:
    """Start the web server, in workers only; other commands of the command line have no web server."""
    check_exposure()
    web_app = serve_routes(guarded(ROUTES), has_keys=settings.auth == "keys", second_port=settings.trades_port)
    web_app[docs.DOCUMENT] = openapi.document(ROUTES)
    web_app[docs.STREAMS] = asyncapi.document()
    web_app[page.FILES] = page.files()
    say_limits_of(web_app)
    web_app.cleanup_ctx.append(run_gateway)
    web_app.on_shutdown.append(close_streams)
    app.on_before_shutdown.connect(stop_taking_orders)


async def stop_taking_orders(_app: Any, **_: Any) -> None:
    """Drain right after SIGTERM; the server closes afterwards."""
    await drain(app.web.web_app)
