"""`python -m benchmarks.bare BROKER TOPIC PORT`: a minimal server that answers a durable 201, to compare ours with.

aiohttp without middleware decodes an order with msgspec, aiokafka produces it, and it answers 201 once Kafka has it.
Without checks, identity and books, its cost is that of HTTP and Kafka in Python on this machine.
"""

import asyncio
import sys

import msgspec
import uvloop
from aiohttp import web
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

PARTITIONS = 8


class Order(msgspec.Struct):
    """The fields of a new order."""

    client_id: str
    instrument: str
    side: str
    type: str
    price: str
    quantity: str


async def serve(broker: str, topic: str, port: int) -> None:
    """Serve until the process is ended."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    await admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=broker, enable_idempotence=True, acks="all")
    await producer.start()
    decode = msgspec.json.Decoder(Order).decode

    async def place(request: web.Request) -> web.Response:
        body = await request.read()
        order = decode(body)
        await producer.send_and_wait(topic, body, key=order.instrument.encode())
        return web.Response(status=201, body=b'{"order_id":"0"}', content_type="application/json")

    app = web.Application()
    app.router.add_post("/api/v1/orders", place)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    broker, topic, port = sys.argv[1:]
    uvloop.run(serve(broker, topic, int(port)))
