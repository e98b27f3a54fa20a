"""The answer of `GET /markets/{instrument}/quality` (docs/ANALYTICS.md)."""

from typing import Annotated

from msgspec import Meta, Struct

from app.analytics.quality import Cost, Quality, rounded, slippage_bps
from app.models.answers import AveragePrice, Count, Price, Quantity, Seq, Time
from app.models.commands import Identifier
from app.models.decimals import Scale, signed_text

RATIO_DECIMALS = 4
Ratio = Annotated[
    str, Meta(pattern=r"^(0|-?[0-9]+\.[0-9]{4})$", description="four decimals, rounded half away from zero")
]


class DepthWithin(Struct, forbid_unknown_fields=True):
    """What rests on each side at prices at most `within_bps` basis points away from the middle."""

    within_bps: int
    bid_quantity: Quantity
    ask_quantity: Quantity


class CostOfSide(Struct, forbid_unknown_fields=True):
    """What an order of the size on this side would trade at once, and how much worse than the middle."""

    quantity: Quantity
    average_price: AveragePrice | None
    worst_price: Price | None
    slippage_bps: Ratio | None


class CostOfSize(Struct, forbid_unknown_fields=True):
    """The cost of buying and of selling `size` at once; a `quantity` below it is all that the book has."""

    size: Quantity
    buy: CostOfSide
    sell: CostOfSide


class Activity(Struct, forbid_unknown_fields=True):
    """The orders and trades of the reports after `after_seq`; `ratio` is orders / trades, null without trades."""

    after_seq: Count
    orders: Count
    trades: Count
    ratio: Ratio | None


class MarketQuality(Struct, forbid_unknown_fields=True):
    """A market's quality after the report `seq`; figures that need both sides are null or empty without them."""

    instrument: Identifier
    seq: Seq
    time: Time
    best_bid: Price | None
    best_ask: Price | None
    spread: Price | None
    spread_bps: Ratio | None
    depth: list[DepthWithin]
    imbalance: Ratio | None
    cost: CostOfSize | None
    orders_to_trades: Activity


def ratio_text(ratio: int | None) -> str | None:
    """A ratio in units of 10^-4 as text."""
    return None if ratio is None else signed_text(ratio, RATIO_DECIMALS)


def activity(after_seq: int, orders: int, trades: int) -> Activity:
    """The counts with their ratio."""
    ratio = rounded(orders * 10**RATIO_DECIMALS, trades) if trades else None
    return Activity(after_seq, orders, trades, ratio_text(ratio))


def cost_message(cost: Cost, quality: Quality, is_buy: bool, scale: Scale) -> CostOfSide:
    """The cost on one side; slippage is null while there is no middle."""
    middle = quality.twice_middle
    return CostOfSide(
        scale.quantity(cost.lots),
        scale.average_price(cost.notional, cost.lots) if cost.lots else None,
        None if cost.worst is None else scale.price(cost.worst),
        ratio_text(None if middle is None else slippage_bps(cost, middle, is_buy)),
    )


def depth_messages(quality: Quality, scale: Scale) -> list[DepthWithin]:
    """The depths of a book."""
    quantity = scale.quantity
    return [
        DepthWithin(depth.within_bps, quantity(depth.bid_lots), quantity(depth.ask_lots)) for depth in quality.depth
    ]
