"""Subscriptions begun and ended: checked, answered, and told where they begin."""

from collections.abc import Callable
from typing import Literal

from app.models.streams import (
    OF_BARS,
    Answer,
    Channel,
    OnSlow,
    RequestId,
    SubscribeParams,
    UnsubscribeParams,
    channel_of,
)
from app.models.streams import Subscription as Subscribed
from web.market.bars import MarketBars
from web.market.books import Market
from web.refused import Refused
from web.streams.channels.channel import Variant
from web.streams.client import Client, Subscription
from web.streams.hub import Hub
from web.streams.messages import frame_of
from web.streams.replays import Past, Replays

MAX_SUBSCRIPTIONS = 100  # of a connection
MAX_REPLAYED = 200_000  # reports of the instrument; who has missed more begins with a snapshot
SLOW = {
    Channel.BOOK: (OnSlow.CONFLATE, OnSlow.CLOSE),
    Channel.TRADES: (OnSlow.CLOSE, OnSlow.SKIP),
    Channel.ORDERS: (OnSlow.CLOSE, OnSlow.SKIP),
    Channel.STATUS: (OnSlow.CLOSE, OnSlow.SKIP),
    Channel.CANDLES: (OnSlow.CLOSE, OnSlow.SKIP),
    Channel.TICKER: (OnSlow.CONFLATE, OnSlow.CLOSE),
}
"""What may become of a slow reader's subscription; the first is the default."""
Unavailable = Literal["beyond_end", "other_epoch", "snapshot_required"]


class Subscribing:
    """Subscriptions to this gateway's market."""

    def __init__(self, hub: Hub, past: Past, bars_of: Callable[[str], MarketBars]) -> None:
        """`bars_of`: the bars of a listed market; raises Refused."""
        self._hub, self._replays, self._bars_of = hub, Replays(hub, past), bars_of

    def subscribe(
        self,
        client: Client,
        wanted: SubscribeParams,
        client_id: str | None,
        market: Market,
        epoch: str,
        req_id: RequestId,
    ) -> None:
        """Answer, and begin; raises Refused, and then nothing was sent.

        `client_id`: whose orders, for that channel. `epoch`: the identity of the log that the market is in.
        """
        variant = _variant(wanted, client_id)
        on_slow = _on_slow(variant.channel, wanted.on_slow)
        _check_room(client, variant)
        bars = self._bars(market, variant)
        first_seq = self._first_seq(variant, market) if bars is None else bars.first_seq
        newest = market.seq if bars is None else bars.seq
        last_seq = newest if wanted.from_seq is None else wanted.from_seq
        if wanted.epoch not in (None, epoch):
            raise _unavailable("other_epoch", "this position is of another log", newest, epoch, first_seq)
        if last_seq > newest:
            raise _unavailable("beyond_end", f"there is no report {last_seq} yet", newest, epoch, first_seq)
        if last_seq + 1 < first_seq:
            raise _unavailable("snapshot_required", "from_seq is too old to be resumed", newest, epoch, first_seq)
        subscription = Subscription(client, variant, market, on_slow, last_seq, bars)
        is_resumed = wanted.from_seq is not None
        result = Subscribed(variant.channel, variant.instrument, last_seq, epoch, first_seq, is_resumed)
        if bars is not None:
            client.subscriptions[variant.key] = subscription
            client.push(frame_of(Answer(req_id, result=result)))
            self._hub.bars.begin(subscription, bars, wanted.snapshot and not is_resumed)
            return
        replay = self._replays.of(subscription, req_id)
        is_short = not is_resumed or replay.is_short()
        if not is_short:
            self._replays.check_room(client)
        client.subscriptions[variant.key] = subscription
        client.push(frame_of(Answer(req_id, result=result)))
        if not is_resumed:
            channel = self._hub.add(subscription)
            if wanted.snapshot:
                subscription.send(channel.snapshot(market))
        elif not (is_short and replay.from_ring()):
            self._replays.begin(replay)

    def unsubscribe(
        self, client: Client, unwanted: UnsubscribeParams, client_id: str | None, req_id: RequestId
    ) -> None:
        """End it, and answer where it may be resumed; raises Refused."""
        channel = channel_of(unwanted.channel)
        key = channel, unwanted.instrument, client_id if channel is Channel.ORDERS else None
        subscription = client.subscriptions.pop(key, None)
        if subscription is None:
            raise Refused("not_subscribed", f"there is no subscription to {channel} of {unwanted.instrument}")
        self._hub.remove(subscription)
        result = Subscribed(channel, unwanted.instrument, subscription.last_seq)
        client.push(frame_of(Answer(req_id, result=result)))

    def _bars(self, market: Market, variant: Variant) -> MarketBars | None:
        return self._bars_of(market.listing.instrument) if variant.channel in OF_BARS else None

    def _first_seq(self, variant: Variant, market: Market) -> int:
        """The first report that a subscription may begin with; a window can be followed through memory only."""
        if variant.depth is not None:
            return self._hub.ring.first_seq(market)
        return max(1, market.seq + 1 - MAX_REPLAYED)


def _variant(wanted: SubscribeParams, client_id: str | None) -> Variant:
    channel = channel_of(wanted.channel)
    if wanted.depth is not None and channel is not Channel.BOOK:
        raise Refused("invalid_value", f"{channel} has no depth")
    if channel is Channel.ORDERS and client_id is None:
        raise Refused("invalid_value", "say whose orders: client_id is required")
    if channel is not Channel.ORDERS and wanted.client_id is not None:
        raise Refused("invalid_value", f"{channel} is public and has no client_id")
    return Variant(channel, wanted.instrument, client_id if channel is Channel.ORDERS else None, wanted.depth)


def _on_slow(channel: Channel, wanted: OnSlow | None) -> OnSlow:
    allowed = SLOW[channel]
    if wanted is not None and wanted not in allowed:
        raise Refused("invalid_value", f"on_slow of {channel} must be one of {', '.join(allowed)}")
    return wanted or allowed[0]


def _check_room(client: Client, variant: Variant) -> None:
    if variant.key in client.subscriptions:
        sentence = f"this connection has {variant.channel} of {variant.instrument} already; unsubscribe first"
        raise Refused("already_subscribed", sentence)
    if len(client.subscriptions) >= MAX_SUBSCRIPTIONS:
        raise Refused("too_many_subscriptions", f"a connection has at most {MAX_SUBSCRIPTIONS} subscriptions")


def _unavailable(code: Unavailable, sentence: str, newest: int, epoch: str, first_seq: int) -> Refused:
    return Refused(code, sentence, epoch=epoch, first_seq=first_seq, last_seq=newest)
