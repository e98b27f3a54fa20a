"""Recording, Postgres or matching is behind: what is not there yet is not called absent."""

import asyncio
import re
import signal
from uuid import uuid4

from aiokafka import AIOKafkaProducer

from app.kafka.reading import bounds
from app.models import identity
from app.topics import CLEARING, ORDERS
from app.verification.running import Addresses, until_quiet, verify
from tests.until import until
from tests.web.conftest import INSTRUMENT, list_market
from tests.web.outages.conftest import Gateways, until_covered
from tests.web.sockets import connected
from tests.web.test_order_entry import send
from web.entry.outgoing import MAX_UNMATCHED
from web.entry.room import MAX_ORDERS_AT_ONCE


async def test_what_is_not_recorded_is_not_absent(gateways: Gateways) -> None:
    """Recording stands still, and a gateway begins: it reads the rest from the log, and answers like the other one."""
    venue, first, second = gateways
    market = await list_market(first)
    old = (await first.place("before", instrument=market, side="sell", quantity="2", client_id="maker")).body
    await until(lambda: first("GET", f"/orders/{old['order_id']}/events"), lambda found: bool(found.body))
    venue.process("recording").send(signal.SIGSTOP)
    try:
        ids = [old["order_id"]]
        for number in range(10):
            sold = await first.place(f"sell-{number}", instrument=market, side="sell", client_id="maker")
            bought = await first.place(f"buy-{number}", instrument=market, client_id=f"taker-{number % 2}")
            ids += [sold.body["order_id"], bought.body["order_id"]]
        late, key = f"/orders/{ids[-1]}/cancel", {"Idempotency-Key": str(uuid4())}
        assert (await first("POST", late, headers=key)).status == 409
        await until_covered(venue, market)
        await gateways.restart_second()
        assert (await second("POST", late, headers=key)).status == 409

        for order_id in ids:
            assert (await gateways.both(f"/orders/{order_id}")).status == 200
        assert (await gateways.both(f"/orders/by-client-id/maker/{market}/sell-3")).status == 200
        assert (await second("GET", f"/orders/{ids[0]}")).body["status"] == "filled"
        for path, count in (
            (f"/orders?instrument={market}&limit=50", 21),
            (f"/orders?instrument={market}&client_id=maker&limit=50", 11),
            (f"/orders?instrument={market}&client_id=taker-1&limit=3", 3),
            (f"/orders?instrument={market}&client_id=taker-1&status=filled&limit=3&cursor=", None),
            (f"/trades?instrument={market}&limit=50", 10),
            (f"/trades?instrument={market}&limit=4&page=3", 2),
        ):
            found = await gateways.both(path)
            assert found.status == 200, (path, found)
            assert count is None or len(found.body) == count, path
        for path in (
            f"/orders/{ids[-1]}/events",
            f"/orders?instrument={market}&client_id=maker&status=filled&limit=50",
        ):
            behind = await second("GET", path)
            assert (behind.status, behind.body["code"]) == (503, "history_behind"), (path, behind)
            assert "recording is behind" in behind.body["detail"]
        snapshots = f"/snapshots?instrument={market}"
        snapshot = await until(lambda: first("POST", snapshots), lambda made: made.status == 200)
        for api in (first, second):
            await until(lambda api=api: api("GET", snapshots), lambda found: found.status == 503)
            ready = await api("GET", "/../../readyz")
            assert (ready.status, ready.body["status"]) == (200, "degraded")
            assert re.fullmatch(r"behind: \d+ reports are not recorded; .*", ready.body["history"])
    finally:
        await venue.kill("recording")
    await venue.start_worker("recording")
    await venue.wait_ready("recording")

    for api in (first, second):
        taken = await until(lambda api=api: api("GET", snapshots), lambda found: found.status == 200)
        # A minute's snapshot, or a repeat of the request, may be newer.
        assert snapshot.body["results"][0]["seq"] in [row["seq"] for row in taken.body]
        assert len((await api("GET", f"/orders/{ids[0]}/events")).body) == 3
        await until(lambda api=api: api("GET", "/../../readyz"), lambda found: found.body["history"] == "ok")
    filled = await gateways.both(f"/orders?instrument={market}&client_id=maker&status=filled&limit=50")
    assert {order["client_order_id"] for order in filled.body} == {"before"} | {f"sell-{n}" for n in range(8)}


async def test_what_a_gateway_did_not_read_again_is_503_until_it_is_recorded(gateways: Gateways) -> None:
    """Postgres was away when it began, so it knows the open orders only: nothing that exists is 404."""
    venue, first, second = gateways
    market = await list_market(first)
    await venue.kill("recording")
    sold = await first.place(instrument=market, side="sell", client_id="seller")
    await first.place(instrument=market, client_id="buyer")
    path = f"/orders/{sold.body['order_id']}"
    cancel, amend = {"Idempotency-Key": str(uuid4())}, {"Idempotency-Key": str(uuid4())}
    assert (await first("POST", f"{path}/cancel", headers=cancel)).status == 409
    rests = f"/orders/{(await first.place(instrument=market)).body['order_id']}"
    refused = await first("PATCH", rests, {"price": "100.001"}, headers=amend)
    await until_covered(venue, market)
    await venue.stop_worker("postgres")
    try:
        await gateways.restart_second()
    finally:
        await venue.servers.start()
    paths = [path, f"{path}/events", f"/orders?instrument={market}", f"/trades?instrument={market}"]
    for asked in paths:
        behind = await until(
            lambda asked=asked: second("GET", asked), lambda found: found.body["code"] != "history_unavailable"
        )
        assert (behind.status, behind.body["code"]) == (503, "history_behind"), asked
    assert (await second("POST", f"{path}/cancel", headers=cancel)).status == 503
    again = await second("PATCH", rests, {"price": "100.001"}, headers=amend)
    assert (again.status, again.body) == (422, refused.body)
    assert (await second("GET", f"/orders/{sold.body['order_id'][:8]}-0000-8000-8000-000000000000")).status == 503
    await venue.start_worker("recording")
    await venue.wait_ready("recording")
    await until(lambda: second("GET", "/../../readyz"), lambda found: found.body["history"] == "ok")
    for asked in paths:
        found = await gateways.both(asked)
        assert (found.status, bool(found.body)) == (200, True), asked
    assert (await second("POST", f"{path}/cancel", headers=cancel)).status == 409


async def test_what_is_not_matched_is_not_absent(gateways: Gateways) -> None:
    """An order that another gateway has accepted, while the engine stands still: 503, and then the order."""
    venue, first, second = gateways
    market = await list_market(first)
    await first.place(instrument=market)
    unknown = f"/orders/{(await first.place(instrument=market)).body['order_id'][:8]}-0000-8000-8000-000000000000"
    venue.process("matching").send(signal.SIGSTOP)
    try:
        accepted = await first.place("unseen", path="/orders", instrument=market)
        path = f"/orders/{accepted.body['order_id']}"
        assert (await first("GET", path)).body["status"] == "pending_new"
        for asked in (path, f"{path}/events", f"/orders/by-client-id/ann/{market}/unseen", unknown):
            behind = await second("GET", asked)
            assert (behind.status, behind.body["code"]) == (503, "matching_behind"), asked
    finally:
        venue.process("matching").send(signal.SIGCONT)
    assert (await until(lambda: second("GET", path), lambda found: found.status != 503)).body["status"] == "new"
    assert (await until(lambda: second("GET", unknown), lambda found: found.status != 503)).status == 404


async def test_an_offset_without_a_command_is_not_waited_for(gateways: Gateways) -> None:
    """A transaction leaves one at the end of the log: what does not exist is 404 all the same."""
    venue, first, _ = gateways
    producer = AIOKafkaProducer(bootstrap_servers=venue.servers.broker, transactional_id=str(uuid4()))
    await producer.start()
    async with producer.transaction():
        await producer.send(ORDERS.name, b"no command", INSTRUMENT.encode())
    await producer.stop()
    asked = f"/orders/{identity.instrument_tag(INSTRUMENT).hex()}-0000-8000-8000-000000000000"
    assert (await until(lambda: first("GET", asked), lambda found: found.status != 503)).status == 404


async def test_without_postgres_orders_books_and_recent_trades_go_on(gateways: Gateways) -> None:
    """What only Postgres knows is a 503 with a sentence; when it is back, everything is, without a restart."""
    venue, first, second = gateways
    await venue.stop_worker("postgres")
    try:
        await first.place(price="60.00", client_id="maker")
        sold = await first.place("away-1", side="sell", price="60.00", client_id="away")
        bought = await first.place("away-2", price="50.00", client_id="away")
        order_id = bought.body["order_id"]
        assert (sold.body["status"], bought.body["status"]) == ("filled", "new")
        await until(lambda: second("GET", f"/orders/{order_id}"), lambda found: found.status == 200)
        for path in (
            f"/orders/{order_id}",
            f"/orders/by-client-id/away/{INSTRUMENT}/away-2",
            "/orders?client_id=away&limit=2",
            f"/orders?instrument={INSTRUMENT}&limit=2",
            f"/orders?client_id=away&instrument={INSTRUMENT}&status=filled&limit=1",
            "/trades?limit=1",
            f"/orderbook?instrument={INSTRUMENT}",
        ):
            assert (await gateways.both(path)).status == 200, path
        listed = (await second("GET", "/orders?client_id=away&limit=2")).body
        assert [order["client_order_id"] for order in listed] == ["away-2", "away-1"]
        assert (await second("DELETE", f"/orders/{order_id}")).body["status"] == "canceled"
        await until(lambda: first("GET", f"/orders/{order_id}"), lambda found: found.body["status"] == "canceled")

        for path in (f"/orders/{order_id}/events", f"/snapshots?instrument={INSTRUMENT}", f"/orders/{uuid4()}"):
            for api in (first, second):
                refused = await api("GET", path)
                assert (refused.status, refused.body["code"]) == (503, "history_unavailable"), path
                assert "order entry and books still work" in refused.body["detail"]
        facts = await bounds(venue.servers.broker, CLEARING.name, [0])
        assert (await first("POST", "/settlements")).body["code"] == "history_unavailable"
        assert await bounds(venue.servers.broker, CLEARING.name, [0]) == facts, "it asked for a cycle that nobody sees"
        # The second began with a snapshot: what this client did before, it cannot know.
        assert (await second("GET", "/orders?client_id=seller&limit=50")).status == 503
        ready = await until(lambda: second("GET", "/../../readyz"), lambda found: found.status == 200)
        assert ready.body["status"] == "degraded"
    finally:
        await venue.servers.start()

    for api in (first, second):
        events = await until(
            lambda api=api: api("GET", f"/orders/{order_id}/events"),
            lambda found: found.status == 200 and len(found.body) == 2,
        )
        assert [event["status"] for event in events.body] == ["new", "canceled"]
        assert (await api("GET", "/orders?client_id=seller&limit=50")).status == 200


async def test_new_orders_are_refused_while_too_many_wait_for_the_engine(gateways: Gateways) -> None:
    """A flood while the engine stands still: 503 beyond the limit, cancels pass, and what is accepted is matched."""
    venue, first, second = gateways
    market = await list_market(first)
    rests = (await first.place(instrument=market, client_id="rests")).body["order_id"]
    venue.process("matching").send(signal.SIGSTOP)
    try:
        accepted = 0
        refused: list[str] = []
        while not refused:
            answers = (await first("POST", "/orders/batch", {"orders": orders(market, accepted)})).body["results"]
            accepted += sum(answer["status"] == 201 for answer in answers)
            refused += [answer["problem"]["code"] for answer in answers if answer["status"] == 503]
            assert accepted <= MAX_UNMATCHED + len(answers)
        assert set(refused) == {"overloaded"} and accepted > MAX_UNMATCHED - len(answers)

        again = await first.place("again", path="/orders", instrument=market)
        assert (again.status, again.body["code"], again.headers["Retry-After"]) == (503, "overloaded", "1")
        cancel = await first("POST", f"/orders/{rests}/cancel", headers={"Idempotency-Key": str(uuid4())})
        assert cancel.status == 202
        # The other gateway has sent nothing to this market yet; its own order shows it how much is waiting.
        assert (await second.place(path="/orders", instrument=market)).status == 201
        assert (await second.place(path="/orders", instrument=market)).status == 503
    finally:
        venue.process("matching").send(signal.SIGCONT)
    await until(lambda: first.place("again", path="/orders", instrument=market), lambda found: found.status == 201)
    where = Addresses(venue.servers.broker)
    await until_quiet(where, 120.0)
    verdict = await verify(where)
    assert verdict.is_right, verdict.as_text()


async def test_more_orders_at_once_than_there_is_room_for_are_refused(gateways: Gateways) -> None:
    """While Kafka is silent, orders wait for it: on a socket, until it closes, and over HTTP; others wait, then 503."""
    venue, first, _ = gateways
    market = await list_market(first)
    batches = [{"orders": orders(market, number)} for number in range(0, MAX_ORDERS_AT_ONCE + 1, 1_000)]
    small = [orders(market, number)[:400] for number in range(0, MAX_ORDERS_AT_ONCE + 1, 400)]
    kafka = venue.process("kafka")
    async with connected(first) as socket:
        kafka.send(signal.SIGSTOP)
        try:
            for number, batch in enumerate(small):
                await send(socket, "batch", number, {"orders": batch})
            refused = await socket.answer()
            assert (refused["req_id"], refused["error"]["code"]) == (len(small) - 1, "overloaded")
            await socket.raw.close()
            asked = [asyncio.create_task(first("POST", "/orders/batch", batch)) for batch in batches]
            await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        finally:
            kafka.send(signal.SIGCONT)
        answers = await asyncio.gather(*asked)
    refused_all = [answer for answer in answers if answer.status == 503]
    assert [(answer.body["code"], answer.headers["Retry-After"]) for answer in refused_all] == [("overloaded", "1")]
    await until(lambda: first("POST", "/orders/batch", batches[0]), lambda found: found.status == 200)
    await until(lambda: first.place("after", path="/orders", instrument=market), lambda found: found.status == 201)


def orders(market: str, number: int) -> list[dict[str, str]]:
    """A batch of as many as there may be in one, that only rest."""
    terms = {"client_id": f"c{number // 5_000}", "instrument": market, "side": "buy", "type": "limit", "price": "1.00"}
    return [terms | {"quantity": "1", "client_order_id": f"flood-{number + each}"} for each in range(1_000)]
