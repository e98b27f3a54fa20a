"""The version of the matching rules, seen from outside: what a fresh venue has, and a stop that waits for a tick."""

from uuid import uuid4

from app import app
from app.kafka.genesis import all_genesis
from app.local.venue import Venue
from app.matching.versions import NEWEST_VERSION
from tests.until import until
from tests.web.conftest import Api

RULES = {"base_asset": "T", "quote_asset": "USD", "tick_size": "0.01", "lot_size": "0.0001"}


async def test_a_fresh_venue_begins_with_the_newest_version(venue: Venue) -> None:
    """`setup` writes it into the genesis record of each partition; markets listed later begin with it too."""
    geneses = await all_genesis(venue.servers.broker, app.conf.topic_partitions)
    assert {genesis.engine_version for genesis in geneses.values()} == {NEWEST_VERSION}


async def test_a_stop_for_which_no_fills_were_left_runs_with_a_tick(api: Api, market: str) -> None:
    """Nothing else comes: the owner of the market sends one."""
    key = {"Idempotency-Key": str(uuid4())}
    await until(
        lambda: api("POST", "/instruments", {**RULES, "instrument": market, "max_fills": 1}, headers=key),
        lambda found: found.status == 201,
    )
    for price in ("100.00", "101.00"):
        await api.place(instrument=market, client_id="ann", side="sell", price=price)
    stop = {"type": "stop", "stop_price": "100.00", "price": None}
    placed = await api.place(instrument=market, client_id="bob", **stop)
    last = await api.place(instrument=market, client_id="cid", price="100.00")
    found = await until(
        lambda: api("GET", f"/orders/{placed.body['order_id']}"), lambda found: found.body["status"] != "new"
    )

    assert (found.body["status"], found.body["avg_price"]) == ("filled", "101.00000000")
    assert found.body["seq"] > last.body["seq"], "it was not the order that triggered it"


async def test_an_iceberg_throttles_nobody(api: Api, market: str) -> None:
    """A listing bounds its slices; what is shown one by one is traded as one."""
    iceberg = {"instrument": market, "client_id": "ann", "side": "sell", "price": "100.00"}
    refused = await api.place(**iceberg, quantity="100000", display_quantity="0.0001")
    await api.place(**iceberg, quantity="10", display_quantity="0.1")
    taken = await api.place(instrument=market, client_id="bob", price="100.00", quantity="10", time_in_force="FOK")
    trades = await api("GET", f"/trades?instrument={market}")

    assert (refused.status, refused.body["code"]) == (422, "incorrect_quantity")
    assert (taken.body["status"], taken.body["filled_quantity"]) == ("filled", "10.0000")
    assert [trade["quantity"] for trade in trades.body] == ["10.0000"]
