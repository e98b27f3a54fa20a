"""Orders on the socket `/stream`: sent in the order in which they come, many at once, each answered by its `req_id`."""

import asyncio
from asyncio import Future
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from time import monotonic
from typing import Any
from uuid import uuid4

from app.models.commands import AmendOrder, CancelOrder
from app.models.streams import (
    AmendOnStream,
    BatchOnStream,
    CancelOnStream,
    OrderAnswer,
    PlaceOnStream,
    RequestId,
    error_answer,
)
from web.edge.callers import Caller
from web.edge.problems import Problem, problem_of
from web.edge.reading import canonical_order_id, decimal, malformed, place_command
from web.gateway import Gateway
from web.refused import Refused
from web.rest.changing import change, instrument_of
from web.rest.placing import begin_noted, created, noting_conflicts, place_all, placed
from web.streams.client import Client
from web.streams.messages import frame_of
from web.trading.accepting import Placing, Sending, note_accepted, send, wait_for_kafka, wait_for_match

MAX_IN_FLIGHT = 1_000  # requests of a connection that wait for Kafka or the engine; more are read later

OrderRequest = PlaceOnStream | BatchOnStream | CancelOnStream | AmendOnStream
Result = tuple[int, dict[str, Any]]
Step = Callable[[], Awaitable[Awaitable[Result] | None]]
"""Sends a request; what it returns waits for the answer, or nothing does, because Kafka's acknowledgement is one."""


class OrderEntry:
    """The orders of one connection."""

    def __init__(self, gateway: Gateway, caller: Caller, client: Client) -> None:
        self._gateway, self._caller, self._client = gateway, caller, client
        self._steps: asyncio.Queue[tuple[RequestId, int, Step]] = asyncio.Queue()
        self._in_flight = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._taken = 0
        """How many orders of the gateway's room this connection has."""
        self._waiting: set[asyncio.Task[None]] = set()
        self._sender = asyncio.create_task(self._send_all())

    async def take(self, request: OrderRequest) -> None:
        """Check a request and queue it; waits for room. Raises Problem and Refused."""
        step, orders = self._step(request), _orders_of(request)
        await self._in_flight.acquire()
        try:
            await self._gateway.room.take(orders)
        except BaseException:
            self._in_flight.release()
            raise
        self._taken += orders
        self._steps.put_nowait((request.req_id, orders, step))

    def end(self) -> None:
        """The connection is over: what is sent is sent, and nobody waits for its answer."""
        for task in (self._sender, *self._waiting):
            task.cancel()
        self._gateway.room.give_back(self._taken)
        self._taken = 0

    def _done(self, orders: int) -> None:
        """A request with so many orders is answered."""
        self._in_flight.release()
        given_back = min(orders, self._taken)  # 0 after the end
        self._gateway.room.give_back(given_back)
        self._taken -= given_back

    def _step(self, request: OrderRequest) -> Step:
        if isinstance(request, PlaceOnStream):
            command = place_command(request.params, None, self._caller)
            placing, wait_s = begin_noted(self._gateway, command, monotonic()), request.wait_s
            return lambda: self._place(request.req_id, placing, wait_s)
        if isinstance(request, BatchOnStream):
            entries, started = request.params.orders, monotonic()
            return lambda: place_all(self._gateway, entries, self._caller, started)
        command_of = self._command_of(request)
        return lambda: self._change(command_of)

    def _command_of(self, request: CancelOnStream | AmendOnStream) -> CancelOrder | AmendOrder:
        params = request.params
        order_id = canonical_order_id(params.order_id)
        instrument = instrument_of(self._gateway, order_id)
        client_id = self._caller.client_of_orders(params.client_id)
        key = params.idempotency_key or uuid4().hex
        if isinstance(request, CancelOnStream):
            return CancelOrder(instrument=instrument, order_id=order_id, command_id=key, client_id=client_id)
        price, quantity = decimal("price", request.params.price), decimal("quantity", request.params.quantity)
        if price is None and quantity is None:
            raise malformed("", "give a price, a quantity, or both")
        return AmendOrder(
            instrument=instrument,
            order_id=order_id,
            command_id=key,
            client_id=client_id,
            price=price,
            quantity=quantity,
        )

    async def _send_all(self) -> None:
        while True:
            req_id, orders, step = await self._steps.get()
            try:
                waiting = await step()
            except (Problem, Refused) as error:
                self._answer_error(req_id, error)
                self._done(orders)
                continue
            if waiting is None:
                continue
            task = asyncio.create_task(self._finish(req_id, orders, waiting))
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    async def _finish(self, req_id: RequestId, orders: int, waiting: Awaitable[Result]) -> None:
        try:
            status, body = await waiting
            self._client.push(frame_of(OrderAnswer(req_id, status, body)))
        except (Problem, Refused) as error:
            self._answer_error(req_id, error)
        finally:
            self._done(orders)

    def _answer_error(self, req_id: RequestId, error: Problem | Refused) -> None:
        problem = problem_of(error)
        self._client.push(frame_of(error_answer(req_id, problem.code, problem.detail, problem.headers, problem.more)))

    async def _place(self, req_id: RequestId, placing: Placing, wait_s: int | None) -> Awaitable[Result] | None:
        gateway = self._gateway
        if wait_s is not None:
            await placing.known  # so that the first turn suffices to send it
            return await _begun(self._match(placing, wait_s))
        with noting_conflicts(gateway):
            sending = await send(gateway, placing)
        if sending.sent is None or sending.expected is not None:
            return self._accepted(placing, sending)
        sending.sent.add_done_callback(partial(self._acknowledge, req_id, placing, sending.is_repeat))
        return None

    def _acknowledge(self, req_id: RequestId, placing: Placing, is_repeat: bool, sent: Future[int]) -> None:
        """Answer as soon as Kafka does: a task that waits for it would cost more than the answer."""
        self._done(1)
        try:
            sent.result()
        except Refused as refused:
            self._answer_error(req_id, refused)
            return
        note_accepted(self._gateway, placing)
        self._client.push(frame_of(OrderAnswer(req_id, 201, _created(placing, is_repeat))))

    async def _accepted(self, placing: Placing, sending: Sending) -> Result:
        with noting_conflicts(self._gateway):
            return 201, _created(placing, await wait_for_kafka(self._gateway, placing, sending))

    async def _match(self, placing: Placing, wait_s: int) -> Result:
        with noting_conflicts(self._gateway):
            return 201, placed(placing, await wait_for_match(self._gateway, placing, wait_s))

    async def _change(self, command: CancelOrder | AmendOrder) -> Awaitable[Result]:
        return await _begun(change(self._gateway, command))


def _orders_of(request: OrderRequest) -> int:
    """How many new orders a request has."""
    if isinstance(request, BatchOnStream):
        return len(request.params.orders)
    return 1 if isinstance(request, PlaceOnStream) else 0


def _created(placing: Placing, is_repeat: bool) -> dict[str, Any]:
    return created(placing) | ({"replayed": True} if is_repeat else {})


async def _begun(waiting: Coroutine[Any, Any, Result]) -> Awaitable[Result]:
    """Let a request have its first turn, in which it is sent, before the next one is."""
    task = asyncio.create_task(waiting)
    await asyncio.sleep(0)
    return task
