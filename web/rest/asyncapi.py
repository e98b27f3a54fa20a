"""The AsyncAPI 3 document of the WebSockets, made of the models of their messages."""

import inspect
import json
from typing import Any

import msgspec

from app.models import streams
from app.models.answers import Trade

DESCRIPTION = (
    "Books, trades, halts, bars, tickers and a client's own orders, without a gap: docs/STREAMS.md explains the one "
    "rule. Messages are JSON in text frames."
)
REQUESTS = (
    streams.SubscribeRequest,
    streams.UnsubscribeRequest,
    streams.PlaceOnStream,
    streams.BatchOnStream,
    streams.CancelOnStream,
    streams.AmendOnStream,
)
ANSWERS = (streams.Answer, streams.OrderAnswer)
MESSAGES = (
    streams.BookMessage,
    streams.TradesMessage,
    streams.OrdersMessage,
    streams.StatusMessage,
    streams.CandlesMessage,
    streams.TickerMessage,
    streams.PlainMessage,
    streams.Notice,
)
OF_TRADES = (Trade, streams.Bust)
STREAM, TRADES = "stream", "trades"

Json = dict[str, Any]


def document() -> Json:
    """The document: what each WebSocket takes and sends."""
    types = (*REQUESTS, *ANSWERS, *MESSAGES, *OF_TRADES)
    _, schemas = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    on_stream = (*REQUESTS, *ANSWERS, *MESSAGES)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Matchstream", "version": "1", "description": DESCRIPTION, "license": {"name": "Apache-2.0"}},
        "defaultContentType": "application/json",
        "channels": {
            STREAM: _channel("/stream", "Subscriptions.", on_stream),
            TRADES: _channel("/ws/trades", "One trade a frame; `?instrument=` for one instrument only.", OF_TRADES),
        },
        "operations": {
            "request": {
                **_operation("receive", STREAM, REQUESTS),
                "reply": {"channel": _channel_ref(STREAM), "messages": _message_refs(STREAM, ANSWERS)},
            },
            "tell": _operation("send", STREAM, MESSAGES),
            "tellTrades": _operation("send", TRADES, OF_TRADES),
        },
        "components": {"messages": {type_.__name__: _message(type_) for type_ in types}, "schemas": schemas},
    }


def text() -> str:
    """The document as it is committed."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _channel(address: str, description: str, types: tuple[Any, ...]) -> Json:
    refs = {type_.__name__: {"$ref": f"#/components/messages/{type_.__name__}"} for type_ in types}
    return {"address": address, "description": description, "messages": refs}


def _operation(action: str, channel: str, types: tuple[Any, ...]) -> Json:
    return {"action": action, "channel": _channel_ref(channel), "messages": _message_refs(channel, types)}


def _channel_ref(channel: str) -> Json:
    return {"$ref": f"#/channels/{channel}"}


def _message_refs(channel: str, types: tuple[Any, ...]) -> list[Json]:
    return [{"$ref": f"#/channels/{channel}/messages/{type_.__name__}"} for type_ in types]


def _message(type_: Any) -> Json:
    name = type_.__name__
    return {"name": name, "summary": inspect.getdoc(type_), "payload": {"$ref": f"#/components/schemas/{name}"}}
