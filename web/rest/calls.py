"""The parameters, bodies and answers of each API call, for the OpenAPI document (web/rest/openapi.py)."""

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta

from app.analytics.intervals import Interval
from app.matching.words import Side, Status
from app.models import answers, http, udf
from app.models.bars import CandleAnswer, CandlePage, TickerAnswer
from app.models.commands import DecimalText, FeeRates, Identifier, OrderIdText
from app.models.quality import MarketQuality
from app.models.vwap import Vwap
from app.postgres.cursors import MAX_CURSOR_CHARACTERS
from web.edge.answers import CSV
from web.edge.reading import MAX_AFTER_SEQ, MAX_LIMIT, MAX_PAGE
from web.edge.routes import Call, Parameter
from web.rest.busts import MAX_TRADE_ID
from web.rest.candles import DEFAULT_CANDLES, PREVIOUS
from web.rest.clearing import DEFAULT_CYCLES, LARGEST_NUMBER
from web.rest.journal import DEFAULT_ENTRIES
from web.rest.market_data import DEFAULT_LEVELS, DEFAULT_TRADES, MAX_LEVELS
from web.rest.snapshots import DEFAULT_SNAPSHOTS, MAX_SNAPSHOTS
from web.rest.udf import DEFAULT_FOUND, LARGEST_S, MAX_BARS, MAX_FOUND, MAX_UDF_TEXT

EXAMPLE_CLIENT, EXAMPLE_INSTRUMENT, EXAMPLE_KEY = "alice", "BTC-USD", "docs-1"
"""The names in the examples: a new venue accepts the examples unchanged, any number of times."""
EXAMPLE_ORDER = {
    "client_id": EXAMPLE_CLIENT,
    "instrument": EXAMPLE_INSTRUMENT,
    "side": "buy",
    "type": "limit",
    "price": "69900",
    "quantity": "0.1",
    "client_order_id": EXAMPLE_KEY,
}
EXAMPLE_LISTING = {
    "instrument": "AVAX-USD",
    "base_asset": "AVAX",
    "quote_asset": "USD",
    "tick_size": "0.01",
    "lot_size": "0.001",
}

PathNumber = Annotated[int, Meta(ge=1, le=LARGEST_NUMBER)]
TradeId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]{1,64}-[0-9]{1,18}$(?!\n)", max_length=MAX_TRADE_ID)]
PATH_PARAMETERS: dict[str, tuple[Any, str, str | int | None]] = {
    "order_id": (OrderIdText, "the order's id", None),
    "client_id": (http.Name, "who placed it", EXAMPLE_CLIENT),
    "instrument": (http.Name, "the instrument, like BTC-USD", EXAMPLE_INSTRUMENT),
    "trade_id": (TradeId, "the trade's id", None),
    "key": (http.Name, "the idempotency key it was placed with", EXAMPLE_KEY),
    "cycle": (PathNumber, "the cycle's number", 1),
    "instruction": (PathNumber, "the instruction's number in its cycle", 1),
}
"""Name in a path -> type, description and example. Ids of orders and trades have none: they come from other calls."""

Page = Annotated[int, Meta(ge=1, le=MAX_PAGE)]
Cursor = Annotated[str, Meta(max_length=MAX_CURSOR_CHARACTERS)]
Flag = Annotated[str, Meta(pattern=r"^(true|false)$")]
Fill = Annotated[str, Meta(pattern=rf"^{PREVIOUS}$")]
Wait = Annotated[str, Meta(pattern=r"^matched$")]
Prefer = Annotated[str, Meta(examples=["wait=5"])]

KEY = Parameter("Idempotency-Key", http.Name, "repeats of the same request get the same answer", "header")
OF_CLIENT = Parameter("client_id", Identifier, "of this client only")
OF_INSTRUMENT = Parameter("instrument", Identifier, "of this instrument only")
THE_INSTRUMENT = Parameter(
    "instrument", Identifier, "the instrument, like BTC-USD", required=True, example=EXAMPLE_INSTRUMENT
)
SINCE = Parameter("from", datetime, "from this time on; without it from the beginning")
UNTIL = Parameter("to", datetime, "before this time; without it up to the end")
PAGE = Parameter("page", Page, "from 1; answers a plain array")
CURSOR = Parameter("cursor", Cursor, "empty to begin, then `next_cursor` of the answer before; answers an object")
FROM = Parameter("cursor", Cursor, "`next_cursor` of the answer before")

SEQ = ("X-Seq",)
BODY = (403, 408, 413, 415)
"""Statuses for a request with a body."""
SENT = (503, 504)
"""Statuses for a command that may fail on its way to Kafka."""


def _limit(default: int, most: int) -> Parameter:
    return Parameter("limit", Annotated[int, Meta(ge=1, le=most)], f"how many at most; {default} if not given")


PLACE = Call(
    "orders",
    {201: (answers.CreatedOrder, answers.Order)},
    (*BODY, 404, 422, *SENT),
    (
        KEY,
        Parameter("wait", Wait, "`matched`: answer the order as the engine left it, with its fills"),
        Parameter(
            "Prefer", Prefer, "`wait=5`: the same, for at most 5 seconds; other preferences are ignored", "header"
        ),
    ),
    http.PlaceOrderRequest,
    example=EXAMPLE_ORDER,
)
PLACE_BATCH = Call(
    "orders",
    {200: answers.BatchResults},
    BODY,
    body=http.BatchRequest,
    example={"orders": [EXAMPLE_ORDER, {**EXAMPLE_ORDER, "price": "69800", "client_order_id": "docs-2"}]},
)
LIST_ORDERS = Call(
    "orders",
    {200: list[answers.Order] | answers.OrderPage},
    (422, 503),
    (
        OF_CLIENT,
        OF_INSTRUMENT,
        Parameter("status", Status, "with this status only"),
        _limit(10, MAX_LIMIT),
        PAGE,
        CURSOR,
    ),
    headers=SEQ,
)
CANCEL_ALL = Call(
    "orders",
    {200: answers.MassCancel, 202: answers.MassCancel},
    (404, 422, *SENT),
    (
        Parameter(
            "client_id", Identifier, "whose orders; needed, but with an API key, which says it", example=EXAMPLE_CLIENT
        ),
        OF_INSTRUMENT,
        Parameter("side", Side, "on this side only; in any letter case"),
        KEY,
    ),
)
GET_ORDER = Call("orders", {200: answers.Order}, (404, 503))
CANCEL = Call(
    "orders",
    {200: answers.Order, 202: answers.ChangingOrder},
    (*BODY, 404, 409, 422, *SENT),
    (Parameter("client_id", Identifier, "whose order; another client's order is not found"), KEY),
    http.CancelRequest,
    is_body_optional=True,
    example={"client_id": EXAMPLE_CLIENT},
)
AMEND = CANCEL._replace(
    parameters=(KEY,),
    body=http.AmendRequest,
    is_body_optional=False,
    example={"price": "69900.50", "quantity": "0.2"},
)
ORDER_EVENTS = Call(
    "orders",
    {200: list[answers.OrderEvent]},
    (404, 503),
    (
        Parameter(
            "after_seq", Annotated[int, Meta(ge=0, le=MAX_AFTER_SEQ)], "what happened after this seq; 0: everything"
        ),
        _limit(MAX_LIMIT, MAX_LIMIT),
    ),
    headers=SEQ,
)
LIST_TRADES = Call(
    "market data",
    {200: list[answers.ListedTrade] | answers.TradePage},
    (404, 503),
    (OF_INSTRUMENT, _limit(DEFAULT_TRADES, MAX_LIMIT), PAGE, CURSOR),
    headers=SEQ,
)
GET_BOOK = Call(
    "market data",
    {200: answers.Book},
    (404, 503),
    (
        THE_INSTRUMENT,
        Parameter("levels", Annotated[int, Meta(ge=1, le=MAX_LEVELS)], f"of each side; {DEFAULT_LEVELS} if not given"),
    ),
)
GET_QUALITY = Call(
    "market data",
    {200: MarketQuality},
    (404, 422, 503),
    (Parameter("size", DecimalText, "the quantity of which the cost is answered", example="0.5"),),
)
LIST_CANDLES = Call(
    "market data",
    {200: list[CandleAnswer] | CandlePage},
    (404, 422, 503),
    (
        THE_INSTRUMENT,
        Parameter("interval", Interval, "how much time a bar covers", required=True, example=Interval.M1.value),
        SINCE,
        UNTIL,
        _limit(DEFAULT_CANDLES, MAX_LIMIT),
        CURSOR,
        Parameter("fill", Fill, f"`{PREVIOUS}`: a flat bar for each time without trades"),
    ),
    headers=SEQ,
)
GET_TICKER = Call("market data", {200: (TickerAnswer, list[TickerAnswer])}, (404, 503), (OF_INSTRUMENT,))
GET_VWAP = Call(
    "market data",
    {200: Vwap},
    (404, 422, 503),
    (THE_INSTRUMENT, SINCE, UNTIL),
)
STREAM = Call("market data", {101: None}, (404, 426, 503), (OF_INSTRUMENT,))
SUBSCRIBE = Call("market data", {101: None}, (426, 503))
LIST_INSTRUMENTS = Call("instruments", {200: list[answers.Instrument]})  # type: ignore[valid-type]
LIST_INSTRUMENT = Call(
    "instruments",
    {201: answers.Instrument, 202: answers.NamedInstrument},
    (*BODY, 422, *SENT),
    (KEY,),
    http.ListInstrumentRequest,
    example=EXAMPLE_LISTING,
)
SWITCH = Call("instruments", {200: answers.Instrument, 202: answers.NamedInstrument}, (*BODY, 404, 422, *SENT), (KEY,))
SET_FEES = Call(
    "fees",
    {200: answers.Fees, 202: answers.NamedInstrument},
    (*BODY, 404, 422, *SENT),
    (KEY,),
    FeeRates,
    example={"maker": "-0.5", "taker": "2.5", "clients": {EXAMPLE_CLIENT: {"maker": "-1", "taker": "1.25"}}},
)
LIST_FEES = Call("fees", {200: list[answers.Fees]})
BUST = Call(
    "fees",
    {200: answers.BustedTrade, 202: answers.NamedTrade},
    (*BODY, 404, 409, 422, *SENT),
    (KEY,),
    http.BustRequest,
    example={"reason": "entered at the wrong price"},
)
TAKE_SNAPSHOTS = Call(
    "snapshots",
    {200: answers.Snapshots, 202: answers.Snapshots},
    (*BODY, 404, 422, *SENT),
    (OF_INSTRUMENT, KEY),
)
LIST_SNAPSHOTS = Call(
    "snapshots",
    {200: list[answers.Snapshot]},
    (503,),
    (OF_INSTRUMENT, _limit(DEFAULT_SNAPSHOTS, MAX_SNAPSHOTS)),
    headers=SEQ,
)
SETTLE = Call(
    "clearing",
    {201: answers.CycleDetail, 202: answers.RequestedCycle, 200: answers.Preview},
    (*BODY, 422, *SENT),
    (
        KEY,
        Parameter("dry_run", Flag, "`true`: answer what closing now would give, and write nothing"),
        Parameter("Prefer", Prefer, "`wait=5`: wait at most 5 seconds for the cycle to be netted", "header"),
    ),
    http.SettleRequest,
    is_body_optional=True,
    example={"cutoff_time": None},
)
LIST_CYCLES = Call(
    "clearing",
    {200: list[answers.Cycle]},
    (503,),
    (
        _limit(DEFAULT_CYCLES, MAX_LIMIT),
        Parameter("below", Annotated[int, Meta(ge=1, le=LARGEST_NUMBER)], "older ones than this cycle"),
    ),
)
GET_CYCLE = Call("clearing", {200: answers.CycleDetail}, (404, 503))
LIST_OBLIGATIONS = Call(
    "clearing", {200: answers.ObligationPage}, (403, 404, 503), (OF_CLIENT, _limit(MAX_LIMIT, MAX_LIMIT), FROM)
)
LIST_INSTRUCTIONS = LIST_OBLIGATIONS._replace(answers={200: answers.InstructionPage})
DECIDE = Call(
    "clearing",
    {200: answers.Instruction, 202: answers.Instruction},
    (*BODY, 404, 409, *SENT),
    (Parameter("Prefer", Prefer, "`wait=5`: wait at most 5 seconds for it to be projected", "header"),),
    http.OutcomeRequest,
    example={"state": "settled"},
)
LIST_POSITIONS = Call(
    "clearing",
    {200: list[answers.Position]},
    (404, 409, 503),
    (
        OF_INSTRUMENT,
        Parameter("as_of_seq", PathNumber, "up to this seq of the instrument"),
        Parameter("cycle", PathNumber, "up to the cutoffs of this cycle"),
    ),
)
LIST_BALANCES = Call("clearing", {200: list[answers.Balance]}, (404, 503))
LIST_ENTRIES = Call(
    "clearing",
    {200: answers.JournalPage},
    (403, 404, 503),
    (
        Parameter("instrument", Identifier, "the instrument, like BTC-USD", required=True, example=EXAMPLE_INSTRUMENT),
        Parameter("from_seq", PathNumber, "from the report with this seq on; from the first if not given"),
        OF_CLIENT,
        _limit(DEFAULT_ENTRIES, MAX_LIMIT),
        FROM,
    ),
)
GET_STATEMENT = Call("clearing", {200: answers.Statement}, (404, 503), text_type=CSV)
UdfText = Annotated[str, Meta(max_length=MAX_UDF_TEXT)]
UDF_SYMBOL = Parameter("symbol", UdfText, "a market, like BTC-USD or Matchstream:BTC-USD", example=EXAMPLE_INSTRUMENT)
UDF_IGNORED = (Parameter("currencyCode", UdfText, "ignored"), Parameter("unitId", UdfText, "ignored"))
UDF_CONFIG = Call("charts", {200: udf.UdfConfiguration})
UDF_RESOLVE = Call("charts", {200: (udf.SymbolInfo, udf.UdfError)}, parameters=(UDF_SYMBOL, *UDF_IGNORED))
UDF_SEARCH = Call(
    "charts",
    {200: list[udf.FoundSymbol]},
    parameters=(
        Parameter("query", UdfText, "part of a name"),
        Parameter("type", UdfText, f"`{udf.SYMBOL_TYPE}`, or empty for all"),
        Parameter("exchange", UdfText, f"`{udf.VENUE}`, or empty for all"),
        _limit(DEFAULT_FOUND, MAX_FOUND),
    ),
)
UdfSeconds = Annotated[int, Meta(ge=0, le=LARGEST_S)]
UDF_HISTORY = Call(
    "charts",
    {200: (udf.Bars, udf.NoBars, udf.UdfError)},
    (503,),
    (
        UDF_SYMBOL,
        Parameter("resolution", UdfText, "one of those that `/udf/config` names", example="60"),
        Parameter("from", UdfSeconds, "seconds since the epoch, included"),
        Parameter("to", UdfSeconds, "seconds since the epoch, not included"),
        Parameter("countback", Annotated[int, Meta(ge=1, le=MAX_BARS)], "so many bars before `to`, whatever `from` is"),
        *UDF_IGNORED,
    ),
)
UDF_TIME = Call("charts", {200: str}, content_type="text/plain")
HEALTH = Call("operation", {200: answers.Health})
READINESS = Call("operation", {200: answers.Readiness, 503: answers.Readiness})
PIPELINE = Call("operation", {200: answers.Pipeline})
METRICS = Call("operation", {200: str}, content_type="text/plain")
DOCUMENT = Call("operation", {200: dict[str, Any]})
DOCS = Call("operation", {200: str}, content_type="text/html")
