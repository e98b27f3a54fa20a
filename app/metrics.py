"""Prometheus metrics of matching, analytics and recording; updated once per batch, never per record."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SIZES = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)

lag = Gauge(
    "lag_records",
    "Records up to the end seen by the last fetch that are not yet applied or recorded.",
    ["role", "partition"],
)
checkpoint_age = Gauge(
    "checkpoint_age_seconds",
    "How long the oldest command not covered by a snapshot has waited; 0: all are covered.",
    ["partition"],
)
unusable_records = Counter(
    "unusable_records_total", "Kafka records that this process could not use and skipped.", ["topic"]
)
damaged_offset = Gauge(
    "log_damaged_offset",
    "Offset at which Kafka's copy of a log is damaged; absent while no damage is known.",
    ["topic", "partition"],
)
acknowledgement = Histogram(
    "kafka_acknowledgement_seconds", "Time from sending a batch to Kafka's acknowledgement.", buckets=_SECONDS
)
kafka_requests = Counter("kafka_requests_total", "Requests that carry records to Kafka or fetch them.", ["kind"])
produce_requests, fetch_requests = kafka_requests.labels("produce"), kafka_requests.labels("fetch")
matching_batch = Histogram("matching_batch_commands", "Commands in a matched batch.", buckets=_SIZES)
matching_seconds = Histogram("matching_batch_seconds", "Time to match a batch.", buckets=_SECONDS)
sink_batch = Histogram("sink_batch_reports", "Reports in a transaction of the Postgres sink.", buckets=_SIZES)
sink_seconds = Histogram("sink_transaction_seconds", "Time of a transaction of the Postgres sink.", buckets=_SECONDS)
market_trades = Gauge("market_trades", "Trades of a market since its listing that its bars include.", ["instrument"])
bars_told = Counter("bars_told_total", "Bars in the updates that analytics has sent: each that had changed.")
bars_recorded = Counter("bars_recorded_total", "Rows of bars that were written to Postgres.")
