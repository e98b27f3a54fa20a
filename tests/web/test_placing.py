"""Order entry: identity, repeats and conflicts, acknowledgement levels, batches."""

import asyncio
import re
from decimal import Decimal
from uuid import uuid4

import pytest

from app.kafka.genesis import genesis_records
from app.local.venue import Venue
from app.models import identity
from tests.web.conftest import MATCHED, PATIENT, Api

PARTITIONS = 8


async def order_id(venue: Venue, instrument: str, key: str) -> str:
    """The id of ann's order in this venue."""
    secret = (await genesis_records(venue.servers.broker, PARTITIONS))[0].secret
    return identity.id_text(identity.order_id("ann", instrument, key, secret))


async def test_the_id_is_a_function_of_client_instrument_and_key(
    venue: Venue, api: Api, other_api: Api, market: str
) -> None:
    """Any gateway of the venue gives the same, and who does not know its secret cannot compute it."""
    key = str(uuid4())
    answer = await api.place(key, path="/orders", instrument=market)

    assert answer.body == {
        "order_id": await order_id(venue, market, key),
        "client_order_id": key,
        "instrument": market,
        "status": "pending_new",
    }
    assert answer.body == (await other_api.replay(key, instrument=market)).body
    assert answer.body["order_id"] != identity.id_text(identity.order_id("ann", market, key))


async def test_the_secret_of_the_ids_is_shown_nowhere(venue: Venue, api: Api, market: str) -> None:
    """Not in answers, figures or logs: it is in the first records of `orders` only."""
    secrets = {genesis.id_secret for genesis in (await genesis_records(venue.servers.broker, PARTITIONS)).values()}
    (secret,) = secrets
    assert secret
    shown = [(await api("GET", f"/orders?instrument={market}")).body]
    for path in ("/metrics", "/readyz", "/api/v1/openapi.json", "/api/v1/instruments"):
        async with api.session.get(f"{api.url}{path}") as response:
            shown.append(await response.text())
    logs = [file.read_text(errors="replace") for file in (venue.folder / "logs").iterdir() if "kafka" not in file.name]
    assert logs and not any(secret in str(text) for text in (*shown, *logs))


async def test_an_order_is_found_right_after_its_201(api: Api, market: str) -> None:
    """Pending until its report comes, and with all its fields from the beginning."""
    for _ in range(20):
        placed = await api.place(path="/orders", instrument=market)
        found = await api("GET", f"/orders/{placed.body['order_id']}")
        assert found.status == 200
        assert found.body["status"] in ("pending_new", "new")
        assert (found.body["price"], found.body["quantity"]) == ("100.00", "1.0000")


async def test_a_repeat_gets_the_same_answer_and_makes_no_second_order(api: Api, other_api: Api, market: str) -> None:
    """On both gateways, however the numbers are spelled."""
    key = str(uuid4())
    first = await api.place(key, path="/orders", instrument=market, quantity="1")
    again = await api.replay(key, instrument=market, quantity=1.0, side="BUY")
    elsewhere = await other_api.replay(key, instrument=market, quantity="1.0000")
    await api.place(instrument=market, price="1.00")

    assert {answer.status for answer in (first, again, elsewhere)} == {201}
    assert first.body == again.body == elsewhere.body
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == elsewhere.headers["Idempotent-Replayed"] == "true"
    bids = (await api("GET", f"/orderbook?instrument={market}")).body["bids"]
    assert [level["quantity"] for level in bids] == ["1.0000", "1.0000"]


@pytest.mark.parametrize("written", ["1", "1.50", "1e-2", "1E+2", "12.5e1", "0.00005e4", "1.000000000"])
async def test_a_json_number_is_read_exactly(api: Api, market: str, written: str) -> None:
    """In any spelling that JSON has, as price and as quantity, to place and to amend."""
    order = f'{{"client_id":"ann","instrument":"{market}","side":"buy","type":"limit"'
    headers = {"Idempotency-Key": str(uuid4()), **PATIENT}
    placed = await api(
        "POST", f"/orders{MATCHED}", f'{order},"price":{written},"quantity":{written}}}', headers=headers
    )
    assert placed.status == 201, placed
    assert Decimal(placed.body["price"]) == Decimal(placed.body["quantity"]) == Decimal(written)
    amended = await api("PATCH", f"/orders/{placed.body['order_id']}", f'{{"price":5e-1,"quantity":{written}}}')
    assert (amended.status, amended.body["price"]) == (200, "0.50"), amended


async def test_the_same_key_with_another_order_is_refused(api: Api, other_api: Api, market: str) -> None:
    """422, with the id of the order that has the key."""
    key = str(uuid4())
    first = await api.place(key, instrument=market)
    for gateway in (api, other_api):
        other = await gateway.place(key, instrument=market, quantity="2")
        assert (other.status, other.body["code"]) == (422, "duplicate_order")
        assert other.body["order_id"] == first.body["order_id"]


async def test_the_same_key_of_another_client_or_instrument_is_another_order(api: Api, market: str) -> None:
    """The scope of a key is client and instrument."""
    key = str(uuid4())
    mine = await api.place(key, instrument=market)
    yours = await api.place(key, instrument=market, client_id="bob")
    elsewhere = await api.place(key, instrument="LTC-USD")

    assert len({answer.body["order_id"] for answer in (mine, yours, elsewhere)}) == 3


async def test_a_malformed_request_burns_no_key(api: Api, market: str) -> None:
    """The client corrects it and sends it again under the same key."""
    key = str(uuid4())
    assert (await api.place(key, instrument=market, quantity="0.00001")).status == 422
    assert (await api.place(key, instrument=market, quantity="1")).status == 201


@pytest.mark.parametrize("name", ["client_order_id", "idempotency_key"])
async def test_the_key_may_stand_in_the_body(venue: Venue, api: Api, market: str, name: str) -> None:
    """And gives the id that the header gives."""
    key = str(uuid4())
    order = {"client_id": "ann", "instrument": market, "side": "buy", "type": "limit", "price": "1", "quantity": "1"}
    answer = await api("POST", "/orders", {**order, name: key})

    assert (answer.status, answer.body["order_id"]) == (201, await order_id(venue, market, key))


async def test_a_quoted_key_is_the_key(api: Api, market: str) -> None:
    """The header is a structured string in the draft standard; most people send it bare."""
    key = str(uuid4())
    quoted, bare = await api.place(f'"{key}"', instrument=market), await api.place(key, instrument=market)

    assert quoted.body == bare.body


async def test_one_key_a_hundred_times_at_once_over_two_gateways(api: Api, other_api: Api, market: str) -> None:
    """One order, one id, every answer 201; all but one are called repeats, unless Valkey was late: then once more."""
    keys: list[str] = []
    for key in (str(uuid4()) for _ in range(5)):
        keys.append(key)
        late = await _late_answers(api, other_api)
        answers = await asyncio.gather(
            *((api, other_api)[number % 2].place(key, path="/orders", instrument=market) for number in range(100))
        )
        assert {answer.status for answer in answers} == {201}
        assert len({answer.body["order_id"] for answer in answers}) == 1
        if await _late_answers(api, other_api) == late:
            break
    assert sum(1 for answer in answers if "Idempotent-Replayed" not in answer.headers) <= 1
    await api.place(instrument=market, side="sell", price="100.00", quantity="9", client_id="bob")
    asks = (await api("GET", f"/orderbook?instrument={market}")).body["asks"]
    assert [level["quantity"] for level in asks] == [f"{9 - len(keys)}.0000"]


async def _late_answers(*gateways: Api) -> list[str]:
    """How often Valkey did not answer each of them in time."""
    found = []
    for gateway in gateways:
        async with gateway.session.get(f"{gateway.url}/metrics") as metrics:
            found += re.findall(r"^valkey_failures_total (\S+)", await metrics.text(), re.MULTILINE)
    assert len(found) == len(gateways)
    return found


async def test_waiting_answers_the_order_with_its_fills(api: Api, market: str) -> None:
    """`?wait=matched`, and `Prefer: wait=SECONDS` likewise."""
    await api.place(instrument=market, side="sell", quantity="3", client_id="maker")
    order = {"client_id": "bob", "instrument": market, "side": "buy", "type": "market", "quantity": "1"}
    waited = await api("POST", "/orders?wait=matched", order, headers={"Idempotency-Key": str(uuid4())})
    preferred = await api("POST", "/orders", order, headers={"Idempotency-Key": str(uuid4()), "Prefer": "wait=15"})

    for answer in (waited, preferred):
        assert (answer.status, answer.body["status"], answer.body["avg_price"]) == (201, "filled", "100.00000000")


async def test_waiting_tells_what_the_engine_refused_each_time(api: Api, market: str) -> None:
    """422 with the engine's reason and the order's id; without waiting it is a 201, and the order is `rejected`."""
    key, below = str(uuid4()), {"instrument": market, "type": "stop_limit", "stop_price": "0.01", "price": "100"}
    await api.place(instrument=market, side="sell", client_id="maker")
    post_only = {"instrument": market, "post_only": True, "price": "100.00"}
    for _ in range(2):
        refused = await api.place(key, **post_only)
        assert (refused.status, refused.body["code"]) == (422, "post_only_would_take"), below
    found = await api("GET", f"/orders/{refused.body['order_id']}")
    assert (found.body["status"], found.body["reason"]) == ("rejected", "post_only_would_take")


async def test_all_order_types_reach_the_engine(api: Api, market: str) -> None:
    """What the core can do, the API can ask for."""
    far = "2099-01-01T00:00:00.000Z"
    asked = [
        {"time_in_force": "IOC"},
        {"time_in_force": "fok"},
        {"time_in_force": "GTD", "expire_time": far},
        {"type": "stop", "stop_price": "200", "price": None},
        {"type": "stop_limit", "stop_price": "200.00", "price": "201.00"},
        {"display_quantity": "0.5", "quantity": "2"},
        {"self_trade_prevention": "CANCEL_BOTH"},
        {"deadline": far},
    ]
    answers = [await api.place(instrument=market, **terms) for terms in asked]

    assert [answer.status for answer in answers] == [201] * len(asked)
    assert answers[2].body["expire_time"] == far
    assert (answers[3].body["stop_price"], answers[3].body["price"]) == ("200.00", None)
    assert answers[5].body["display_quantity"] == "0.5000"
    assert answers[6].body["self_trade_prevention"] == "cancel_both"


async def test_a_batch_answers_each_order_in_its_place(venue: Venue, api: Api, market: str) -> None:
    """Not atomic: the good ones are orders, the bad ones have their problem."""
    order = {"client_id": "ann", "instrument": market, "side": "buy", "type": "limit", "price": "9", "quantity": "1"}
    batch = [
        {**order, "client_order_id": "b1"},
        {**order, "client_order_id": "b2", "quantity": "-1"},
        order,
        {**order, "client_order_id": "b4", "instrument": "NO-SUCH"},
        {**order, "client_order_id": "b1"},
        {**order, "client_order_id": "b1", "price": "8"},
    ]
    answer = await api("POST", "/orders/batch", {"orders": batch})

    assert answer.status == 200
    results = answer.body["results"]
    assert [result["status"] for result in results] == [201, 422, 400, 404, 201, 422]
    assert results[0]["order"]["order_id"] == results[4]["order"]["order_id"]
    assert results[0]["order"]["order_id"] == await order_id(venue, market, "b1")
    assert results[2]["problem"]["code"] == "missing_key"


async def test_a_thousand_orders_fit_into_a_batch_and_no_more(api: Api, market: str) -> None:
    """Also more bytes than a single order may have."""
    order = {"client_id": "ann", "instrument": market, "side": "buy", "type": "limit", "price": "9", "quantity": "1"}
    batch = [{**order, "client_order_id": f"many-{number}"} for number in range(1_000)]
    answer = await api("POST", "/orders/batch", {"orders": batch})
    too_many = await api("POST", "/orders/batch", {"orders": [*batch, {**order, "client_order_id": "one-more"}]})

    assert {result["status"] for result in answer.body["results"]} == {201}
    assert too_many.status == 400


async def test_an_order_is_found_by_its_key(api: Api, other_api: Api, market: str) -> None:
    """Who placed it, where, under which key."""
    key = str(uuid4())
    placed = await api.place(key, instrument=market)
    found = await api("GET", f"/orders/by-client-id/ann/{market}/{key}")

    assert (found.status, found.body) == (200, placed.body)
    assert (await other_api("GET", f"/orders/by-client-id/bob/{market}/{key}")).status == 404
