"""Orders on the socket: the same rules and answers as over HTTP, many at once, in the order in which they were sent."""

from typing import Any
from uuid import uuid4

import orjson
import pytest

from app.models.api_keys import KeyRole
from tests.until import until
from tests.web.conftest import Api, Keys
from tests.web.sockets import Socket, connected

MANY = 200


def order(market: str, **terms: Any) -> dict[str, Any]:
    """A limit order under a key of its own."""
    plain = {"client_id": "ann", "instrument": market, "side": "buy", "type": "limit", "quantity": "1"}
    return plain | {"price": "100.00", "client_order_id": str(uuid4())} | terms


async def send(socket: Socket, method: str, req_id: int, params: dict[str, Any], **more: Any) -> None:
    """Without waiting for the answer."""
    await socket.raw.send_str(orjson.dumps({"method": method, "params": params, "req_id": req_id, **more}).decode())


async def ask(socket: Socket, method: str, params: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A request and its answer."""
    await send(socket, method, 1, params, **more)
    return await socket.answer()


async def test_the_answers_are_those_of_http(api: Api, market: str) -> None:
    """Place, with fills if asked; amend, cancel, batch; refusals by the same codes."""
    async with connected(api) as socket:
        accepted = await ask(socket, "place", order(market, side="sell", quantity="3", client_order_id="k1"))
        order_id = accepted["result"]["order_id"]
        over_http = await api.place("k1", path="/orders", instrument=market, side="sell", quantity="3")
        filled = await ask(socket, "place", order(market, client_id="bob"), wait_s=15)
        amended = await ask(socket, "amend", {"order_id": order_id, "quantity": "2"})
        canceled = await ask(socket, "cancel", {"order_id": order_id, "client_id": "ann"})
        late = await ask(socket, "cancel", {"order_id": order_id})
        batch = await ask(socket, "batch", {"orders": [order(market), order(market, quantity="-1")]})
        refused = await ask(socket, "place", order(market, quantity="0.00001"))
        unknown = await ask(socket, "cancel", {"order_id": order_id[:-1] + ("0" if order_id[-1] != "0" else "1")})
        keyless = await ask(socket, "place", {**order(market), "client_order_id": None})
        shown = (await api("GET", f"/orders/{order_id}")).body

    assert (accepted["status"], accepted["result"]) == (201, over_http.body)
    assert (filled["status"], filled["result"]["status"]) == (201, "filled")
    assert (amended["result"]["quantity"], amended["result"]["remaining_quantity"]) == ("2.0000", "1.0000")
    assert (canceled["status"], canceled["result"]) == (200, shown)
    assert (late["error"]["code"], late["error"]["more"]["order"]) == ("too_late_to_cancel", shown)
    assert [result["status"] for result in batch["result"]["results"]] == [201, 422]
    codes = [answer["error"]["code"] for answer in (refused, unknown, keyless)]
    assert codes == ["incorrect_quantity", "unknown_order", "missing_key"]


async def test_a_key_makes_one_order_by_whatever_way(api: Api, other_api: Api, market: str) -> None:
    """Repeated on the socket, at the other gateway, over HTTP; with another order it is refused."""
    placed = order(market, client_order_id="once")
    async with connected(api) as socket, connected(other_api) as other:
        first = await ask(socket, "place", placed, wait_s=15)
        again = await until(lambda: ask(socket, "place", placed), lambda found: found["result"].get("replayed"))
        elsewhere = await ask(other, "place", placed)
        another = await ask(other, "place", {**placed, "quantity": "2"})
    order_id = first["result"]["order_id"]
    assert again["result"]["order_id"] == elsewhere["result"]["order_id"] == order_id
    assert another["error"]["code"] == "duplicate_order"
    assert len((await api("GET", f"/orders?instrument={market}")).body) == 1


async def test_many_at_once_are_sent_in_their_order(api: Api, market: str) -> None:
    """Pipelined: each is answered by its req_id, and the engine saw them in the order in which they were sent."""
    async with connected(api) as socket:
        for number in range(MANY):
            wait = {"wait_s": 15} if number % 3 == 0 else {}
            await send(socket, "place", number, order(market, price=f"{number + 1}.00"), **wait)
        answers = [await socket.answer() for _ in range(MANY)]
    assert sorted(answer["req_id"] for answer in answers) == list(range(MANY))
    assert {answer["status"] for answer in answers} == {201}
    listed = await until(
        lambda: api("GET", f"/orders?instrument={market}&limit={MANY}"), lambda found: len(found.body) == MANY
    )
    assert [found["price"] for found in reversed(listed.body)] == [f"{number + 1}.00" for number in range(MANY)]
    ids = {answer["req_id"]: answer["result"]["order_id"] for answer in answers}
    assert [found["order_id"] for found in reversed(listed.body)] == [ids[number] for number in range(MANY)]


async def test_who_leaves_before_the_answer_has_placed_the_order(api: Api, market: str) -> None:
    """What was sent is sent; the gateway waits for nobody."""
    async with connected(api) as socket:
        for number in range(20):
            await send(socket, "place", number, order(market, client_order_id=f"left-{number}"))
        await socket.answer()
    first = await until(
        lambda: api("GET", f"/orders/by-client-id/ann/{market}/left-0"), lambda found: found.status == 200
    )
    assert first.body["client_order_id"] == "left-0"


@pytest.mark.parametrize("method", ["place", "cancel", "amend", "batch"])
async def test_a_viewer_changes_nothing(gate: Api, keys: Keys, ann: Api, market: str, method: str) -> None:
    """A key's role holds on the socket, and a trader's client is the key's."""
    viewer, _ = await keys.make("ann", KeyRole.VIEWER)
    await until(lambda: ann("GET", f"/orderbook?instrument={market}"), lambda found: found.status == 200)
    placed = order(market, client_id=None)
    order_id = (await ann.place(client_id=None, instrument=market)).body["order_id"]
    params = {
        "place": placed,
        "batch": {"orders": [placed]},
        "cancel": {"order_id": order_id},
        "amend": {"order_id": order_id, "quantity": "1"},
    }[method]
    async with connected(viewer) as socket, connected(ann) as trader:
        refused = await ask(socket, method, params)
        done = await ask(trader, method, params)
        foreign = await ask(trader, "place", order(market, client_id="bob"))
    assert (refused["error"]["code"], foreign["error"]["code"]) == ("forbidden", "forbidden")
    assert done["status"] in (200, 201)
