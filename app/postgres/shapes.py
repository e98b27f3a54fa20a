"""How rows become API answers: the fields of each answer, in order, and the SQL that selects each of them."""

from typing import Any

Fields = dict[str, str]


def rfc3339_text(column: str) -> str:
    """A time as text in UTC with milliseconds."""
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""


def _text(*columns: str) -> Fields:
    """Numbers and ids as text: a NUMERIC keeps its decimals."""
    return {column: f"{column}::text" for column in columns}


def _as_is(*columns: str) -> Fields:
    return {column: column for column in columns}


ORDER: Fields = {
    **_text("order_id"),
    **_as_is("client_order_id", "client_id", "instrument", "side", "type", "time_in_force"),
    **_text("price", "stop_price", "quantity", "filled_quantity", "remaining_quantity", "avg_price", "fees"),
    **_as_is("status", "reason", "post_only"),
    **_text("display_quantity"),
    "expire_time": rfc3339_text("expire_time"),
    **_as_is("self_trade_prevention", "seq"),
    "created_at": rfc3339_text("created_at"),
    "updated_at": rfc3339_text("updated_at"),
}
ORDER_EVENT: Fields = {
    **_text("order_id"),
    **_as_is("instrument", "seq"),
    "time": rfc3339_text("time"),
    **_as_is("status", "reason"),
    **_text("price", "quantity", "filled_quantity", "remaining_quantity", "avg_price"),
    **_text("last_price", "last_quantity"),
    **_as_is("liquidity", "triggered"),
    **_text("fees"),
}
TRADE: Fields = {
    **_as_is("trade_id", "instrument"),
    **_text("price", "quantity", "buy_order_id", "sell_order_id"),
    **_as_is("aggressor_side", "seq"),
    "executed_at": rfc3339_text("executed_at"),
    "busted_at": f"""(SELECT {rfc3339_text("busted_at")} FROM trade_busts AS busts
        WHERE busts.instrument = trades.instrument AND busts.trade_seq = trades.seq)""",
    **_as_is("buy_client_id", "sell_client_id"),
    **_text("buyer_fee", "seller_fee"),
}
REJECTION: Fields = {
    **_text("order_id"),
    **_as_is("instrument", "seq", "reason", "raw"),
    "time": rfc3339_text("time"),
}
INSTRUMENT: Fields = {
    **_as_is("listing", "market_status", "seq"),
    "updated_at": rfc3339_text("updated_at"),
}
SNAPSHOT: Fields = {**_as_is("instrument", "seq"), "time": rfc3339_text("time"), **_as_is("levels")}


def select(fields: Fields, *more: str) -> str:
    """The select list whose rows `answer` converts."""
    return ", ".join([*fields.values(), *more])


def answer(fields: Fields, row: tuple[Any, ...]) -> dict[str, Any]:
    """A row as a dict, without the columns after the fields."""
    return dict(zip(fields, row, strict=False))
