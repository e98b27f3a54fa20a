"""The answer of `GET /vwap` (docs/ANALYTICS.md)."""

from typing import Annotated

from msgspec import Meta, Struct

from app.clearing.amounts import ONE, amount_of
from app.models.answers import AveragePrice, Count, Quantity, Seq, Time
from app.models.commands import Identifier
from app.models.decimals import UNITS_PER_ONE, Scale

ExactAmount = Annotated[
    str, Meta(pattern=r"^[0-9]+(\.[0-9]{1,16})?$", description="exact: the decimals of tick and lot size together")
]


class Vwap(Struct, rename={"from_": "from"}, forbid_unknown_fields=True):
    """The trades of an instrument from `from` to before `to` that are not busted as of the report `seq`.

    `vwap` is quote_volume / volume, rounded half up to eight decimals; null without trades.
    """

    instrument: Identifier
    seq: Seq
    from_: Time | None
    to: Time | None
    trades: Count
    volume: Quantity
    quote_volume: ExactAmount
    vwap: AveragePrice | None


def lots_and_notional(volume: str, quote_volume: str, scale: Scale) -> tuple[int, int]:
    """Sums of quantities and of price x quantity, as Postgres gives them, in lots and in ticks x lots."""
    tick, lot = scale.tick_size, scale.lot_size
    # An amount is in units of 10^-16: a price in 10^-8 times a quantity in 10^-8.
    return amount_of(volume) * UNITS_PER_ONE // (lot * ONE), amount_of(quote_volume) // (tick * lot)
