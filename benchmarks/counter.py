"""What Faust does by itself, for comparison: an agent that counts orders by instrument in a RocksDB table.

No settings of ours, nothing exact: JSON in, one table write an event, Faust's own changelog.
"""

import os

import faust

app = faust.App(
    "benchmark-counter",
    broker=os.environ["BROKER_URL"],
    datadir=os.environ["APP_DATADIR"],
    store="rocksdb://",
    topic_partitions=int(os.environ["TOPIC_PARTITIONS"]),
    web_enabled=False,
)
orders = app.topic("orders", value_serializer="json")
counts = app.Table("counts", default=int, options={"driver": "rocksdict"})


@app.agent(orders)
async def count(stream: faust.StreamT) -> None:
    """One more for the instrument; the genesis record has none."""
    async for order in stream:
        counts[order.get("instrument", "")] += 1
