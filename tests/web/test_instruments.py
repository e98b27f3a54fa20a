"""Instruments: listed, changed, halted and resumed; and snapshots of their books."""

import json
from uuid import uuid4

import pytest

from tests.until import until
from tests.web.conftest import Api

RULES = {"base_asset": "T", "quote_asset": "USD", "tick_size": "0.01", "lot_size": "0.0001"}


async def test_a_listed_instrument_is_there_with_all_its_rules(api: Api, other_api: Api) -> None:
    """201, then in the list of either gateway; defaults are filled in, sizes in their shortest form."""
    name = f"L{uuid4().hex[:10]}-USD"
    listed = await api("POST", "/instruments", {**RULES, "instrument": name, "tick_size": "0.50", "max_quantity": 10})
    found = await until(lambda: other_api("GET", "/instruments"), lambda a: name in [i["instrument"] for i in a.body])

    assert listed.status == 201
    assert listed.body in found.body
    assert (listed.body["tick_size"], listed.body["max_quantity"], listed.body["seq"]) == ("0.5", "10.0000", 1)
    assert (listed.body["market_status"], listed.body["self_trade_prevention"]) == ("open", "cancel_newest")


async def test_sizes_may_be_json_numbers(api: Api) -> None:
    """As Python writes them; null is a rule that was not given."""
    name = f"L{uuid4().hex[:10]}-USD"
    sizes = {"tick_size": 0.00001, "lot_size": 1.0, "max_price": None}
    listed = await api("POST", "/instruments", {**RULES, "instrument": name, **sizes})
    assert '"tick_size": 1e-05' in json.dumps(sizes)
    assert listed.status == 201, listed
    assert (listed.body["tick_size"], listed.body["lot_size"]) == ("0.00001", "1")


async def test_rules_change_but_not_what_numbers_mean(api: Api, market: str) -> None:
    """Listing again sets the limits; tick and lot size stay for ever."""
    changed = await api("POST", "/instruments", {**RULES, "instrument": market, "max_price": "500"})
    refused = await api("POST", "/instruments", {**RULES, "instrument": market, "tick_size": "0.1"})

    assert (changed.status, changed.body["max_price"]) == (201, "500.00")
    assert (refused.status, refused.body["code"]) == (422, "unsupported_order")
    assert refused.body["detail"].endswith(
        "base_asset T, quote_asset USD, tick_size 0.01, lot_size 0.0001, quote_scale 8"
    )
    assert (await api.place(instrument=market, price="501")).body["code"] == "price_band"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"tick_size": "0"}, 422),
        ({"tick_size": "1e-2"}, 422),
        ({"min_price": "3", "max_price": "2"}, 422),
        ({"max_price": "0.005"}, 422),
        ({"instrument": "_partition-0"}, 422),
        ({"tick_size": None}, 400),
        ({"instrument": "a b"}, 400),
        ({"instrument": "."}, 400),
        ({"instrument": ".."}, 400),
        ({"base_asset": ".."}, 400),
        ({"max_fills": 0}, 400),
        ({"command": "halt"}, 400),
        ({"command_id": "mine"}, 400),
        ({"base_asset": None}, 400),
    ],
    ids=str,
)
async def test_rules_that_make_no_market_are_refused(api: Api, change: dict[str, object], status: int) -> None:
    """And no market is made."""
    name = f"N{uuid4().hex[:10]}-USD"
    refused = await api("POST", "/instruments", {**RULES, "instrument": name, **change})

    assert refused.status == status
    assert name not in [instrument["instrument"] for instrument in (await api("GET", "/instruments")).body]


async def test_a_halted_market_takes_no_orders_but_cancels(api: Api, market: str) -> None:
    """Until it is resumed."""
    resting = await api.place(instrument=market)
    halted = await api("POST", f"/instruments/{market}/halt")
    refused = await api.place(instrument=market)
    canceled = await api("DELETE", f"/orders/{resting.body['order_id']}")
    resumed = await api("POST", f"/instruments/{market}/resume/")

    assert (halted.status, halted.body["market_status"]) == (200, "halted")
    assert (refused.status, refused.body["code"]) == (422, "market_closed")
    assert (canceled.status, canceled.body["status"]) == (200, "canceled")
    assert (resumed.status, resumed.body["market_status"]) == (200, "open")
    assert (await api.place(instrument=market)).status == 201


async def test_an_instrument_that_is_not_listed_cannot_be_halted(api: Api) -> None:
    """404, as everywhere."""
    for path in ("/instruments/NO-SUCH/halt", "/instruments/NO-SUCH/resume", "/snapshots?instrument=NO-SUCH"):
        assert (await api("POST", path)).body["code"] == "unknown_instrument"


async def test_a_snapshot_has_the_whole_book_in_postgres(api: Api, market: str) -> None:
    """Bids and asks, best first, at a seq; a repeat under the same key is the same snapshot."""
    for side, price in (("buy", "99.00"), ("buy", "98.00"), ("sell", "101.00"), ("buy", "99.00")):
        await api.place(instrument=market, side=side, price=price)
    path, key = f"/snapshots?instrument={market}", {"Idempotency-Key": str(uuid4())}
    taken = await api("POST", path, headers=key)
    again = await api("POST", path, headers=key)
    recorded = await until(lambda: api("GET", path), lambda answer: answer.body)

    assert (taken.status, taken.body) == (again.status, again.body) == (200, {"results": taken.body["results"]})
    assert taken.body["results"] == [{"instrument": market, "seq": 6}]
    snapshot = recorded.body[0]
    assert (snapshot["instrument"], snapshot["seq"]) == (market, 6)
    assert [(level["side"], level["price"], level["orders"]) for level in snapshot["levels"]] == [
        ("buy", "99.00", 2),
        ("buy", "98.00", 1),
        ("sell", "101.00", 1),
    ]


async def test_snapshots_of_all_books_are_taken_at_once(api: Api, market: str) -> None:
    """Each instrument with its seq."""
    taken = await api("POST", "/snapshots")

    assert taken.status == 200
    assert {"BTC-USD", market} <= {result["instrument"] for result in taken.body["results"]}
    assert all(result["seq"] for result in taken.body["results"])
