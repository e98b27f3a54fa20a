"""Every topic: its name, key, message, who writes it and who reads it, and the settings that it needs."""

from dataclasses import dataclass, field

UNLIMITED = "-1"
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
KEPT = {
    "cleanup.policy": "delete",
    "retention.ms": UNLIMITED,
    "retention.bytes": UNLIMITED,
    "max.message.bytes": str(MAX_MESSAGE_BYTES),
}
TIMED_BY_KAFKA = {"message.timestamp.type": "LogAppendTime"}
OF_A_CHANGELOG = {
    "cleanup.policy": "compact",
    "segment.ms": str(10 * 60 * 1000),
    "segment.bytes": str(64 * 1024 * 1024),
    "min.compaction.lag.ms": str(60 * 60 * 1000),
    "max.message.bytes": str(MAX_MESSAGE_BYTES),
}


@dataclass(frozen=True)
class TopicSpec:
    """A topic of ours. The key is the instrument, if `message` says nothing else, the partition murmur2 of it.

    `partitions`: how many; None is as many as the setting topic_partitions says.
    """

    name: str
    message: str
    written_by: str
    read_by: str
    config: dict[str, str] = field(default_factory=dict)
    partitions: int | None = None


ORDERS = TopicSpec(
    name="orders",
    message="app.models.commands: a command; the first record of each partition is `genesis`",
    written_by="gateways and any other producer",
    read_by="matching",
    config={**KEPT, **TIMED_BY_KAFKA, "max.message.bytes": str(1024 * 1024)},
)
EXECUTIONS = TopicSpec(
    name="executions",
    message="app.models.reports.ExecutionReport, seq dense per instrument",
    written_by="matching",
    read_by="recording, gateway, analytics, audit, anyone",
    config=KEPT,
)
TRADES = TopicSpec(
    name="trades",
    message="app.models.reports.PublicTrade, seq dense per instrument",
    written_by="matching",
    read_by="anyone",
    config=KEPT,
)
BOOKS_CHANGELOG = TopicSpec(
    name="matchstream-books-changelog",
    message="tables/recovery/changelog.py: snapshots, id blocks, manifests of the books; the key is no instrument",
    written_by="matching",
    read_by="matching, gateway",
    config=OF_A_CHANGELOG,
)
API_KEYS = TopicSpec(
    name="matchstream-api-keys",
    message="app.models.api_keys.ApiKey, nothing in it opens a door; the key is its key_id, no value is a revoked key",
    written_by="faust -A app create-key | revoke-key",
    read_by="gateway",
    config={
        "cleanup.policy": "compact",
        "segment.bytes": str(16 * 1024 * 1024),
        "max.message.bytes": str(64 * 1024),
    },
    partitions=1,
)
CLEARING = TopicSpec(
    name="clearing",
    message="app.models.clearing: a fact that the order log does not imply; the key is the cycle, or what asks for it",
    written_by="gateways, faust -A app settle | outcome, clearing",
    read_by="clearing, verify",
    config={**KEPT, **TIMED_BY_KAFKA},
    partitions=1,
)
CANDLES = TopicSpec(
    name="candles",
    message="app.models.candles.CandlesUpdate, each with the seq of the one before it",
    written_by="analytics",
    read_by="recording, gateway, verify, anyone",
    config=KEPT,
)
CANDLES_CHANGELOG = TopicSpec(
    name="matchstream-candles-changelog",
    message="tables/recovery/changelog.py: snapshots, trade blocks, manifests of the bars; the key is no instrument",
    written_by="analytics",
    read_by="analytics",
    config=OF_A_CHANGELOG,
)
TOPICS = (ORDERS, EXECUTIONS, TRADES, BOOKS_CHANGELOG, API_KEYS, CLEARING, CANDLES, CANDLES_CHANGELOG)
DENSE = frozenset(spec.name for spec in TOPICS if spec.config["cleanup.policy"] == "delete")
"""The topics from which Kafka compacts nothing away: each batch begins where the one before it ends."""
