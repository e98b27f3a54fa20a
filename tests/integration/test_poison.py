"""Garbage written straight to the `orders` topic of a running venue: reported, recorded, and the venue goes on."""

from aiokafka import AIOKafkaProducer

from app.local.venue import Venue
from app.models.reports import reserved_instrument
from app.topics import ORDERS
from app.verification.ledger import Outcome
from load.client import Client
from load.request import Terms
from tests.agents.recorded import ask
from tests.integration.conftest import list_market, until
from tests.test_poison import NUMBER, POISON


async def test_a_venue_outlives_what_anyone_writes_to_its_log(venue: Venue) -> None:
    """Every poison of the engine's tests, between two orders: Postgres has each with its reason, the orders match."""
    number, database = NUMBER, venue.servers.database_url
    query = "SELECT seq, source_offset, reason FROM rejections WHERE instrument = %s ORDER BY seq"
    before = ask(database, query, reserved_instrument(number))
    pids = {name: process.identity for name, process in venue.processes.items()}
    market = await list_market(venue, number)
    async with Client(venue.url) as client:
        await _trade(client, market)
        offsets = await _write(venue, number)
        await _trade(client, market)
    wanted = [(offset, reason) for offset, (_, _, reason) in zip(offsets, POISON.values(), strict=True)]

    def recorded() -> bool:
        return len(ask(database, query, reserved_instrument(number))) >= len(before) + len(wanted)

    await until(recorded)
    after = ask(database, query, reserved_instrument(number))
    assert [(offset, reason) for _, offset, reason in after[len(before) :]] == wanted
    assert [seq for seq, _, _ in after] == list(range(1, len(after) + 1))
    assert {name: process.identity for name, process in venue.processes.items()} == pids, "somebody died of it"


async def _write(venue: Venue, partition: int) -> list[int]:
    """All poison to one partition; its offsets."""
    producer = AIOKafkaProducer(bootstrap_servers=venue.servers.broker, acks="all", max_request_size=2**20)
    await producer.start()
    try:
        return [
            (await producer.send_and_wait(ORDERS.name, value, key=key, partition=partition)).offset
            for key, value, _ in POISON.values()
        ]
    finally:
        await producer.stop()


async def _trade(client: Client, market: str) -> None:
    """One order, and one that takes it."""
    maker = await client.place(Terms("maker", market, "sell", "limit", "1.00", "100.00"))
    taker = await client.place(Terms("taker", market, "buy", "limit", "1.00", "100.00"))
    assert {maker.outcome, taker.outcome} == {Outcome.OK}
    assert (await client.matched(taker.json()["order_id"]))["status"] == "filled"
