"""The gateway's web server: every route on one page."""

from app import app
from web import health, market, metrics, orders
from web.gateway import run_gateway
from web.routes import Route, add_routes

API = "/api/v1"


ROUTES = (
    Route("POST", f"{API}/orders", orders.place_order, "Place an order"),
    Route("GET", f"{API}/orders", orders.list_orders, "Orders, newest first"),
    Route("GET", f"{API}/orders/{{order_id}}", orders.get_order, "One order"),
    Route("POST", f"{API}/orders/{{order_id}}/cancel", orders.cancel_order, "Cancel an order"),
    Route("DELETE", f"{API}/orders/{{order_id}}", orders.cancel_order, "Cancel an order"),
    Route("GET", f"{API}/trades", market.list_trades, "Trades, newest first"),
    Route("GET", f"{API}/orderbook", market.get_orderbook, "The order book of an instrument"),
    Route("GET", f"{API}/instruments", market.list_instruments, "Listed instruments"),
    Route("GET", "/ws/trades", market.trade_stream, "Trades as they happen, over a WebSocket"),
    Route("GET", "/healthz", health.healthz, "Whether this process lives"),
    Route("GET", "/readyz", health.readyz, "Whether this process takes orders"),
    Route("GET", "/metrics", metrics.metrics, "Figures for Prometheus"),
)


@app.at_worker_start
def serve() -> None:
    """Only a worker has a web server; the other commands of the command line do not make one."""
    web_app = app.web.web_app
    add_routes(web_app, ROUTES)
    web_app.cleanup_ctx.append(run_gateway)
