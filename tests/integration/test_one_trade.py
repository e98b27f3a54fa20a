"""One trade's way, followed by its ids: POST, 201, WebSocket, GET /trades, Postgres."""

from uuid import uuid4

import aiohttp

from app.local.venue import Venue
from tests.integration.conftest import list_market
from tests.postgres.recorded import ask
from tests.until import until


async def test_one_trade_is_the_same_everywhere(venue: Venue) -> None:
    """Both orders' ids, the trade's id, price and quantity: as answered, streamed, read and recorded."""
    market, database = await list_market(venue), venue.servers.database_url
    key = str(uuid4())
    api = f"{venue.url}/api/v1"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{venue.url}/ws/trades?instrument={market}") as stream,
    ):
        ids = []
        for client, side in (("alice", "sell"), ("bob", "buy")):
            order = {"client_id": client, "instrument": market, "side": side, "type": "limit"}
            order |= {"price": "100.00", "quantity": "2.00"}
            async with session.post(f"{api}/orders", json=order, headers={"Idempotency-Key": key}) as response:
                answer = await response.json()
                assert (response.status, answer["status"]) == (201, "pending_new")
                assert response.headers["Location"] == f"/api/v1/orders/{answer['order_id']}"
                ids.append(answer["order_id"])
        sell, buy = ids
        streamed = await stream.receive_json(timeout=60)
        async with session.get(f"{api}/trades", params={"instrument": market}) as response:
            (read,) = await response.json()
            assert (read.pop("buyer_fee"), read.pop("seller_fee")) == ("0", "0")  # a stream is public
        statuses = []
        for order_id in ids:
            async with session.get(f"{api}/orders/{order_id}") as response:
                statuses.append((await response.json())["status"])
    rows = "SELECT trade_id, buy_order_id::text, sell_order_id::text, price::text, quantity::text FROM trades"
    of_market = f"{rows} WHERE instrument = %s"
    await until(lambda: bool(ask(database, of_market, market)))
    recorded = ask(database, of_market, market)
    print(f"\nPOST -> 201   sell {sell}\nPOST -> 201   buy  {buy}\nWebSocket     {streamed}\nGET /trades   {read}")
    print(f"Postgres      {recorded[0]}")
    assert streamed == read
    assert statuses == ["filled", "filled"]
    assert recorded == [(f"{market}-1", buy, sell, "100.00", "2.00")]
    assert [read[name] for name in ("trade_id", "buy_order_id", "sell_order_id", "price", "quantity")] == [*recorded[0]]
    orders = ask(database, "SELECT order_id::text, status FROM orders WHERE instrument = %s", market)
    assert sorted(orders) == sorted((order_id, "filled") for order_id in ids)
