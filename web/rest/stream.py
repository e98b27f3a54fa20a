"""`/ws/trades`: a WebSocket's handshake, and its life until the client goes; the messages are web/streams/hub.py's."""

from aiohttp import WSMsgType, web

from web.edge.problems import Problem
from web.edge.reading import identifier, parameters
from web.hosting import GATEWAY

PING_INTERVAL_S = 20.0
MAX_MESSAGE_BYTES = 64 * 1024


async def trade_stream(request: web.Request) -> web.StreamResponse:
    """`/ws/trades`: one trade a text frame, of one instrument or of all."""
    gateway, instrument = request.app[GATEWAY], parameters(request, "instrument").get("instrument")
    if instrument is not None:
        gateway.market(identifier("instrument", instrument))
    socket = web.WebSocketResponse(heartbeat=PING_INTERVAL_S, max_msg_size=MAX_MESSAGE_BYTES, compress=False)
    with gateway.hub.client(socket, instrument) as client:
        if not socket.can_prepare(request):
            raise Problem(426, "upgrade_required", "this is a WebSocket", {"Upgrade": "websocket"})
        await socket.prepare(request)
        client.begin()
        async for message in socket:  # what a client sends is read and ignored
            if message.type is WSMsgType.ERROR:
                break
    return socket
