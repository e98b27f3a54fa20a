"""Figures for Prometheus of the roles behind the gateway; counted once a batch, never once a record."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SIZES = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)

lag = Gauge(
    "lag_records",
    "Records that the last fetch knew of and that are not applied, or not recorded, yet.",
    ["role", "partition"],
)
checkpoint_age = Gauge(
    "checkpoint_age_seconds",
    "For how long the oldest command without a snapshot has waited for one; 0: there is none.",
    ["partition"],
)
unusable_records = Counter(
    "unusable_records_total", "Records of Kafka that this process could not use and passed over.", ["topic"]
)
damaged_offset = Gauge(
    "log_damaged_offset",
    "Where Kafka's copy of a log is damaged; absent while none is known to be.",
    ["topic", "partition"],
)
acknowledgement = Histogram(
    "kafka_acknowledgement_seconds", "From sending a batch to Kafka's acknowledgement.", buckets=_SECONDS
)
matching_batch = Histogram("matching_batch_commands", "Commands in a batch that was matched.", buckets=_SIZES)
matching_seconds = Histogram("matching_batch_seconds", "To match a batch.", buckets=_SECONDS)
sink_batch = Histogram("sink_batch_reports", "Reports in a transaction of the Postgres sink.", buckets=_SIZES)
sink_seconds = Histogram("sink_transaction_seconds", "A transaction of the Postgres sink.", buckets=_SECONDS)
