"""TradingView's UDF protocol: markets and bars as stock chart clients read them (docs/ANALYTICS.md)."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from app.analytics.intervals import Interval
from app.models.candles import Candle
from app.models.commands import Identifier, ListInstrument
from app.models.decimals import UNIT_DIGITS, decimals_of, units

RESOLUTIONS = {
    "1": Interval.M1,
    "3": Interval.M3,
    "5": Interval.M5,
    "15": Interval.M15,
    "30": Interval.M30,
    "60": Interval.H1,
    "240": Interval.H4,
    "1D": Interval.D1,
    "1W": Interval.W1,
}
"""The protocol's name of each interval."""
ALIASES = {"D": "1D", "W": "1W"}
VENUE = "Matchstream"
SYMBOL_TYPE = "spot"
_NUMBER: dict[str, Any] = {"type": "number"}
PlainNumber = Annotated[Raw, Meta(extra_json_schema=_NUMBER)]
"""A JSON number with exactly the digits of a decimal: no float is made on the way."""


class Exchange(Struct):
    """A filter that clients offer."""

    value: str
    name: str
    desc: str


class SymbolType(Struct):
    """A filter that clients offer."""

    name: str
    value: str


class UdfConfiguration(Struct):
    """What a client may ask for."""

    supported_resolutions: list[str]
    exchanges: list[Exchange]
    symbols_types: list[SymbolType]
    supports_search: bool = True
    supports_group_request: bool = False
    supports_marks: bool = False
    supports_timescale_marks: bool = False
    supports_time: bool = True


class SymbolInfo(Struct):
    """A market: a price is a multiple of minmov / pricescale."""

    name: str
    ticker: str
    description: str
    currency_code: str
    minmov: int
    pricescale: int
    volume_precision: int
    supported_resolutions: list[str]
    intraday_multipliers: list[str]
    type: str = SYMBOL_TYPE
    session: str = "24x7"
    timezone: str = "Etc/UTC"
    exchange: str = VENUE
    listed_exchange: str = VENUE
    format: str = "price"
    has_intraday: bool = True
    has_daily: bool = True
    has_weekly_and_monthly: bool = True
    data_status: str = "streaming"


class FoundSymbol(Struct):
    """A market in a list of found ones."""

    symbol: Identifier
    full_name: str
    description: str
    exchange: str
    ticker: str
    type: str


class UdfError(Struct):
    """A refusal as the protocol has it: HTTP status 200, and one sentence."""

    errmsg: str
    s: Literal["error"] = "error"


class Bars(Struct):
    """Bars as columns, oldest first: opening times in seconds, open, high, low, close, volume."""

    t: list[int]
    o: list[PlainNumber]
    h: list[PlainNumber]
    l: list[PlainNumber]  # noqa: E741 - the protocol's name
    c: list[PlainNumber]
    v: list[PlainNumber]
    s: Literal["ok"] = "ok"


class NoBars(Struct):
    """There are none in this time; `nextTime` is when the newest bar before it opens, if there is one."""

    nextTime: int | UnsetType = UNSET
    s: Literal["no_data"] = "no_data"


def configuration() -> UdfConfiguration:
    """What this venue supports."""
    everything = Exchange("", VENUE, "all markets of this venue")
    return UdfConfiguration(list(RESOLUTIONS), [everything], [SymbolType("Spot", SYMBOL_TYPE)])


def symbol_info(listing: ListInstrument) -> SymbolInfo:
    """A market as clients draw it."""
    tick = units(listing.tick_size)
    decimals = decimals_of(tick)
    return SymbolInfo(
        name=listing.instrument,
        ticker=listing.instrument,
        description=_description(listing),
        currency_code=listing.quote_asset,
        minmov=tick // 10 ** (UNIT_DIGITS - decimals),
        pricescale=10**decimals,
        volume_precision=decimals_of(units(listing.lot_size)),
        supported_resolutions=list(RESOLUTIONS),
        intraday_multipliers=[name for name in RESOLUTIONS if name.isdigit()],
    )


def found_symbol(listing: ListInstrument) -> FoundSymbol:
    """A market in the answer to a search."""
    name = listing.instrument
    return FoundSymbol(name, f"{VENUE}:{name}", _description(listing), VENUE, name, SYMBOL_TYPE)


def bars(candles: list[Candle]) -> Bars:
    """These bars, which have trades, oldest first."""
    return Bars(
        t=[bar.open_time // 1000 for bar in candles],
        o=[_number(bar.open) for bar in candles],
        h=[_number(bar.high) for bar in candles],
        l=[_number(bar.low) for bar in candles],
        c=[_number(bar.close) for bar in candles],
        v=[_number(bar.volume) for bar in candles],
    )


def interval_of(resolution: str) -> Interval | None:
    """The interval that a client means."""
    return RESOLUTIONS.get(ALIASES.get(resolution, resolution))


def symbol_of(name: str) -> str:
    """The instrument that a client means: it may put the exchange before it."""
    return name.removeprefix(f"{VENUE}:")


def _number(decimal: str | None) -> Raw:
    assert decimal is not None, "a bar with trades has prices"
    return Raw(decimal.encode())


def _description(listing: ListInstrument) -> str:
    return f"{listing.base_asset} / {listing.quote_asset}"


encode = msgspec.json.Encoder().encode
