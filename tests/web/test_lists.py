"""Lists of orders and trades: filters, pages and cursors, newest first."""

from typing import Any

import pytest

from tests.until import until
from tests.web.conftest import Api


async def recorded(api: Api, market: str, count: int) -> list[str]:
    """Place so many orders and wait until Postgres has them; their ids, newest first."""
    ids = [(await api.place(instrument=market, client_id=f"c{i % 2}")).body["order_id"] for i in range(count)][::-1]
    await until(
        lambda: api("GET", f"/orders?instrument={market}"), lambda a: a.body and a.body[0]["order_id"] == ids[0]
    )
    return ids


async def by_cursor(api: Api, path: str, name: str) -> list[list[Any]]:
    """All pages of a list, by its cursors."""
    pages, cursor = [], ""
    while cursor is not None:
        page = (await api("GET", f"{path}&cursor={cursor}")).body
        pages.append(page[name])
        cursor = page["next_cursor"]
    return pages


async def test_orders_by_cursor_come_once_each_also_while_new_ones_arrive(api: Api, market: str) -> None:
    """A cursor names a row, so what comes on top moves nothing."""
    ids = await recorded(api, market, 7)
    path = f"/orders?instrument={market}&limit=3"
    first = (await api("GET", f"{path}&cursor=")).body
    await recorded(api, market, 2)
    second = (await api("GET", f"{path}&cursor={first['next_cursor']}")).body
    third = (await api("GET", f"{path}&cursor={second['next_cursor']}")).body

    assert [order["order_id"] for page in (first, second, third) for order in page["orders"]] == ids
    assert third["next_cursor"] is None


async def test_orders_are_filtered(api: Api, market: str) -> None:
    """By client, instrument and status, together and alone."""
    ids = await recorded(api, market, 4)
    await api("DELETE", f"/orders/{ids[0]}")
    path = f"/orders?instrument={market}&client_id=c1"
    await until(lambda: api("GET", f"{path}&status=canceled"), lambda answer: len(answer.body) == 1)

    assert [order["order_id"] for order in (await api("GET", f"{path}&status=new")).body] == [ids[2]]
    assert [order["order_id"] for order in (await api("GET", path)).body] == [ids[0], ids[2]]
    assert (await api("GET", "/orders?client_id=nobody-at-all")).body == []
    assert [len(page) for page in await by_cursor(api, f"{path}&limit=1", "orders")] == [1, 1]


async def test_trades_by_cursor_and_by_page_are_the_same_trades(api: Api, market: str) -> None:
    """Memory answers pages, Postgres cursors; of one instrument and of all."""
    await api.place(instrument=market, side="sell", quantity="5", client_id="maker")
    for _ in range(5):
        await api.place(instrument=market, client_id="taker")
    path = f"/trades?instrument={market}"
    whole = (await api("GET", path)).body
    await until(lambda: api("GET", f"{path}&cursor="), lambda answer: len(answer.body["trades"]) == 5)

    pages = await by_cursor(api, f"{path}&limit=2", "trades")
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [trade for page in pages for trade in page] == whole
    assert (await api("GET", f"{path}&limit=2&page=2")).body == whole[2:4]
    assert (await api("GET", "/trades?limit=5")).body == whole
    assert (await api("GET", "/trades?limit=5&cursor=")).body["trades"] == whole


async def test_an_orders_events_tell_its_whole_life(api: Api, market: str) -> None:
    """Oldest first, also after a given seq."""
    order_id = (await api.place(instrument=market, quantity="2")).body["order_id"]
    await api.place(instrument=market, side="sell", client_id="bob")
    await api("DELETE", f"/orders/{order_id}")
    path = f"/orders/{order_id}/events"
    events = (await until(lambda: api("GET", path), lambda answer: len(answer.body) == 3)).body

    assert [event["status"] for event in events] == ["new", "partially_filled", "canceled"]
    assert [event["last_quantity"] for event in events] == [None, "1.0000", None]
    assert (await api("GET", f"{path}?after_seq={events[0]['seq']}&limit=1")).body == events[1:2]
    assert (await api("GET", f"{path}?after_seq=0")).body == events


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "page=0", "page=2&cursor=", "cursor=abc", "page=101&limit=1000"]
)
async def test_absurd_paging_is_400(api: Api, query: str) -> None:
    """Also what only a cursor reaches: Postgres would count through all that a page skips."""
    for path in ("/orders", "/trades"):
        refused = await api("GET", f"{path}?{query}")
        assert (refused.status, refused.body["errors"][0]["field"] in ("limit", "page", "cursor")) == (400, True)
