"""The gateway's figures for Prometheus; their names and labels are part of the API."""

from prometheus_client import Counter, Gauge, Histogram

_BUCKETS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

orders_received = Counter("orders_received_total", "Orders accepted by this gateway: Kafka has them.")
orders_matched = Counter("orders_matched_total", "Orders that took part in a trade, as the feed saw it.")
orders_rejected = Counter("orders_rejected_total", "Orders refused, by whom.", ["by"])
orders_shed = Counter(
    "orders_shed_total",
    "Orders and batches refused because too many are in progress (busy) or wait for the engine (behind).",
    ["why"],
)
order_latency = Histogram(
    "order_latency_seconds",
    "From the request to Kafka's acknowledgement, or to the report.",
    ["stage"],
    buckets=_BUCKETS,
)
orderbook_depth = Gauge("current_orderbook_depth", "Price levels in the book.", ["instrument", "side"])
feed_gaps = Counter("feed_gaps_total", "Reports that came before an earlier one.")
valkey_failures = Counter("valkey_failures_total", "Questions that Valkey did not answer in time.")
websocket_clients = Gauge("websocket_clients", "Connected WebSocket clients.")
websocket_frames = Counter("websocket_frames_total", "Frames sent to WebSocket clients.")
websocket_dropped = Counter("websocket_dropped_total", "Clients closed because they read too slowly.")
unauthorized = Counter("unauthorized_total", "Requests without a valid API key.")
rate_limited = Counter("rate_limited_total", "Requests refused because their caller had made too many.")
matching_waits = Gauge(
    "matching_waits_partitions",
    "Partitions of orders whose oldest command has waited too long for matching: web/market/matching.py.",
)
http_connections = Gauge("http_connections", "Open connections to this process.")
http_client_errors = Counter(
    "http_client_errors_total", "Requests that no handler could answer, by why: broken (no HTTP), gone.", ["why"]
)
http_refused = Counter("http_connections_refused_total", "Connections ended, by why: surplus, head, request.", ["why"])

accepted_latency = order_latency.labels("accepted")
matched_latency = order_latency.labels("matched")
rejected_by_gateway = orders_rejected.labels("gateway")
rejected_by_engine = orders_rejected.labels("engine")
