"""A stock Faust agent, for comparison: it counts orders by instrument in a RocksDB table.

It has none of our settings and no exactness: it reads JSON and writes the table and Faust's changelog once per event.
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
    """Count an order of its instrument; the genesis record has no instrument."""
    async for order in stream:
        counts[order.get("instrument", "")] += 1
