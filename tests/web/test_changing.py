"""Cancel, amend and mass cancel: each waits for the engine and answers what it did."""

from uuid import uuid4

from tests.web.conftest import Api


async def test_a_cancel_answers_the_final_order(api: Api, other_api: Api, market: str) -> None:
    """By both spellings, on either gateway."""
    first, second = await api.place(instrument=market), await api.place(instrument=market)
    canceled = await api("POST", f"/orders/{first.body['order_id']}/cancel")
    deleted = await other_api("DELETE", f"/orders/{second.body['order_id']}/")

    for answer in (canceled, deleted):
        assert (answer.status, answer.body["status"], answer.body["reason"]) == (200, "canceled", "canceled_by_client")
        assert (answer.body["quantity"], answer.body["filled_quantity"]) == ("1.0000", "0.0000")


async def test_a_cancel_of_a_finished_order_is_409_with_the_order(api: Api, market: str) -> None:
    """Too late; a repeat under the same key is answered as the first time."""
    placed = await api.place(instrument=market)
    path, key = f"/orders/{placed.body['order_id']}/cancel", {"Idempotency-Key": str(uuid4())}
    assert (await api("POST", path, headers=key)).status == 200

    late = await api("POST", path)
    again = await api("POST", path, headers=key)

    assert (late.status, late.body["code"], late.body["order"]["status"]) == (409, "too_late_to_cancel", "canceled")
    assert (again.status, again.body["status"]) == (200, "canceled")


async def test_another_clients_order_is_not_found(api: Api, market: str) -> None:
    """Said in the query or in the body; both at once must agree."""
    path = f"/orders/{(await api.place(instrument=market)).body['order_id']}"

    assert (await api("DELETE", f"{path}?client_id=bob")).status == 404
    assert (await api("DELETE", f"{path}?client_id=")).status == 400
    assert (await api("POST", f"{path}/cancel", {"client_id": "bob"})).status == 404
    assert (await api("PATCH", path, {"client_id": "bob", "price": "1"})).status == 404
    assert (await api("POST", f"{path}/cancel?client_id=bob", {"client_id": "ann"})).status == 400
    assert (await api("DELETE", f"{path}?client_id=ann")).status == 200


async def test_an_order_that_never_was_is_not_found(api: Api, market: str) -> None:
    """An id of the instrument, one of no instrument, and what is no id."""
    tag = (await api.place(instrument=market)).body["order_id"][:8]
    for order_id in (f"{tag}-0000-8000-8000-000000000000", "00000000-0000-8000-8000-000000000000", "first"):
        for method, path, body in (("GET", "", None), ("DELETE", "", None), ("PATCH", "", {"price": "1"})):
            found = await api(method, f"/orders/{order_id}{path}", body)
            assert (found.status, found.body["code"]) == (404, "unknown_order"), (method, order_id)


async def test_an_amend_sets_price_and_total_quantity(api: Api, market: str) -> None:
    """Total is filled and open together, so what is filled cannot be taken back."""
    placed = await api.place(instrument=market, quantity="5")
    await api.place(instrument=market, side="sell", quantity="2", client_id="bob")
    path = f"/orders/{placed.body['order_id']}"
    amended = await api("PATCH", path, {"price": "99.5", "quantity": 4})

    assert (amended.status, amended.body["price"], amended.body["quantity"]) == (200, "99.50", "4.0000")
    assert (amended.body["filled_quantity"], amended.body["remaining_quantity"]) == ("2.0000", "2.0000")
    done = await api("PATCH", path, {"quantity": "2"})
    assert (done.status, done.body["status"]) == (200, "canceled")
    assert (await api("PATCH", path, {"quantity": "3"})).status == 409


async def test_an_amend_that_makes_no_sense_is_refused(api: Api, market: str) -> None:
    """By the gateway where it can tell, by the engine otherwise; the order stays as it is."""
    path = f"/orders/{(await api.place(instrument=market)).body['order_id']}"
    refusals = {
        "{}": 400,
        '{"price":"-1"}': 422,
        '{"quantity":"0.00001"}': 422,
        '{"price":"0.001"}': 422,
        '{"side":"buy"}': 400,
    }
    for body, status in refusals.items():
        assert (await api("PATCH", path, body)).status == status, body

    order = (await api("GET", path)).body
    assert (order["status"], order["price"], order["quantity"]) == ("new", "100.00", "1.0000")


async def test_an_amend_to_nothing_cancels(api: Api, market: str) -> None:
    """A total that is filled already, 0 of an order without fills included, ends the order (R6)."""
    path = f"/orders/{(await api.place(instrument=market)).body['order_id']}"
    ended = await api("PATCH", path, {"quantity": "0"})
    assert (ended.status, ended.body["status"], ended.body["reason"]) == (200, "canceled", "canceled_by_client")


async def test_one_key_is_one_command(api: Api, market: str) -> None:
    """The same key with another amend is refused."""
    path, key = f"/orders/{(await api.place(instrument=market)).body['order_id']}", {"Idempotency-Key": str(uuid4())}
    answers = [await api("PATCH", path, {"price": price}, headers=key) for price in ("98", "98.00", "97")]

    assert [answer.status for answer in answers] == [200, 200, 422]
    assert answers[2].body["code"] == "duplicate_order"
    assert (await api("GET", path)).body["price"] == "98.00"


async def test_a_mass_cancel_ends_what_a_client_has_open(api: Api, market: str) -> None:
    """Of one side, of one instrument, of all; nobody else's."""
    buys = [(await api.place(instrument=market, client_id="cleo")).body["order_id"] for _ in range(2)]
    sell = (await api.place(instrument=market, client_id="cleo", side="sell", price="200")).body["order_id"]
    other = (await api.place(instrument=market, client_id="dave")).body["order_id"]
    one_side = await api("DELETE", f"/orders?client_id=cleo&instrument={market}&side=BUY")
    everywhere = await api("DELETE", "/orders?client_id=cleo")

    assert one_side.status == everywhere.status == 200
    assert [(result["instrument"], result["canceled"]) for result in one_side.body["results"]] == [(market, buys)]
    canceled = {result["instrument"]: result["canceled"] for result in everywhere.body["results"]}
    assert canceled[market] == [sell]
    assert "BTC-USD" in canceled
    assert (await api("GET", f"/orders/{other}")).body["status"] == "new"


async def test_a_mass_cancel_names_a_client_and_a_listed_instrument(api: Api) -> None:
    """So that no slip cancels everything."""
    assert (await api("DELETE", "/orders")).status == 400
    assert (await api("DELETE", "/orders?client_id=")).status == 400
    assert (await api("DELETE", "/orders?client_id=cleo&instrument=NO-SUCH")).status == 404
    assert (await api("DELETE", "/orders?client_id=cleo&side=both")).status == 422
