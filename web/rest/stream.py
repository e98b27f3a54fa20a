"""The sockets: handshake, requests read and answered, and life until the client goes; messages are web/streams'."""

import asyncio
from time import monotonic_ns

from aiohttp import WSMsgType, web

from app.models.api_keys import KeyRole
from app.models.streams import (
    OF_BARS,
    Answer,
    BatchOnStream,
    Channel,
    RequestId,
    SubscribeRequest,
    UnsubscribeRequest,
    channel_of,
    decode_request,
    error_answer,
    request_id_of,
)
from web.access import PROTOCOL
from web.edge.callers import caller_of
from web.edge.limits import SECOND_NS, Bucket, charge, charge_orders
from web.edge.problems import Problem, problem_of
from web.edge.reading import decoded, identifier, parameters
from web.edge.wire import Wire
from web.gateway import Gateway
from web.hosting import GATEWAY
from web.market.bars import MarketBars
from web.market.books import Market
from web.refused import Refused
from web.rest.order_entry import OrderEntry
from web.streams.client import Client
from web.streams.messages import frame_of

PING_INTERVAL_S = 20.0
MAX_MESSAGE_BYTES = 64 * 1024
MAX_REQUESTS_A_SECOND = 10_000.0  # of one connection; more are read later
PATIENCE_S = 2.0  # for a report that another gateway has shown already
POLL_S = 0.01


async def trade_stream(request: web.Request) -> web.StreamResponse:
    """`/ws/trades`: one trade a text frame, of one instrument or of all."""
    gateway, instrument = request.app[GATEWAY], parameters(request, "instrument").get("instrument")
    if instrument is not None:
        gateway.market(identifier("instrument", instrument))
    socket = _socket(request)
    wire = Wire(request, socket)
    with gateway.hub.trade_client(wire, instrument) as client, wire:
        await wire.open()
        client.begin()
        async for message in socket:  # what a client sends is read and ignored
            if message.type is WSMsgType.ERROR:
                break
    return socket


async def stream(request: web.Request) -> web.StreamResponse:
    """`/stream`: subscriptions to books, trades, statuses and a client's own orders; and orders (docs/STREAMS.md)."""
    gateway, pace = request.app[GATEWAY], Bucket(MAX_REQUESTS_A_SECOND)
    parameters(request)
    socket = _socket(request)
    wire = Wire(request, socket)
    with gateway.hub.client(wire) as client, wire:
        await wire.open()
        client.begin()
        orders = OrderEntry(gateway, caller_of(request), client)
        try:
            async for message in socket:
                if message.type is WSMsgType.ERROR:
                    break
                await _keep(pace)
                await _serve(gateway, request, client, orders, message.data)
        finally:
            orders.end()
    return socket


def _socket(request: web.Request) -> web.WebSocketResponse:
    refused_from = MAX_MESSAGE_BYTES + 1  # aiohttp refuses a message that is as long as its max_msg_size
    socket = web.WebSocketResponse(
        heartbeat=PING_INTERVAL_S, max_msg_size=refused_from, compress=False, protocols=(PROTOCOL,)
    )
    if not socket.can_prepare(request):
        raise Problem(426, "upgrade_required", "this is a WebSocket", {"Upgrade": "websocket"})
    return socket


async def _keep(pace: Bucket) -> None:
    """Return when the connection may have its next request read."""
    if missing_ns := pace.take(1, monotonic_ns()):
        await asyncio.sleep(missing_ns / SECOND_NS)
        pace.take(1, monotonic_ns())


async def _serve(gateway: Gateway, request: web.Request, client: Client, orders: OrderEntry, data: str | bytes) -> None:
    """Carry out a request; what is wrong with it is the answer, and touches nothing else."""
    text = data.encode("utf-8", "replace") if isinstance(data, str) else data
    try:
        charge(request, 1)
        said = decoded(decode_request, text, is_flat=b'"batch"' not in text)  # else no name belongs in two objects
        if isinstance(said, BatchOnStream):
            charge_orders(request, len(said.params.orders))
        if isinstance(said, SubscribeRequest | UnsubscribeRequest):
            await _carry_out(gateway, request, client, said)
        else:
            _require_trader(request)
            await orders.take(said)
    except (Problem, Refused) as error:
        client.push(frame_of(_error(request_id_of(text), error)))


async def _carry_out(
    gateway: Gateway, request: web.Request, client: Client, said: SubscribeRequest | UnsubscribeRequest
) -> None:
    params, client_id = said.params, None
    if channel_of(params.channel) is Channel.ORDERS:
        client_id = _whose_orders(request, params.client_id)
    if isinstance(said, UnsubscribeRequest):
        gateway.subscribing.unsubscribe(client, said.params, client_id, said.req_id)
        return
    await client.wait_for_room()  # a snapshot may be large
    wanted, market = said.params, gateway.market(params.instrument)
    source = gateway.bars.of(params.instrument) if channel_of(params.channel) in OF_BARS else market
    await _until_shown(source, wanted.from_seq or 0)
    epoch = gateway.feed.epoch_of(wanted.instrument)
    gateway.subscribing.subscribe(client, wanted, client_id, market, epoch, said.req_id)


def _whose_orders(request: web.Request, named: str | None) -> str | None:
    """The client whose orders are asked for, if this caller may see them; an admin may name any."""
    caller = caller_of(request)
    return caller.client_of_orders(named) or caller.client_id


async def _until_shown(source: Market | MarketBars, seq: int) -> None:
    """Return once this gateway has a report that another one may have shown, or when it does not come."""
    for _ in range(int(PATIENCE_S / POLL_S)):
        if source.seq >= seq:
            return
        await asyncio.sleep(POLL_S)


def _require_trader(request: web.Request) -> None:
    role = caller_of(request).role
    if not role.may(KeyRole.TRADER):
        raise Problem(403, "forbidden", f"this needs a key with the role {KeyRole.TRADER}; this one's is {role}")


def _error(req_id: RequestId, error: Problem | Refused) -> Answer:
    problem = problem_of(error)
    return error_answer(req_id, problem.code, problem.detail, problem.headers, problem.more)
