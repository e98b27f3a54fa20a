"""Fee rates and trade ids: text outside, the core's numbers inside."""

from app.matching.commands import NOT_REPRESENTABLE, ClientRates, FeeSchedule
from app.models.commands import ClientFeeRates, FeeRates
from app.models.decimals import signed_text

RATE_DIGITS = 2  # a rate is basis points to a hundredth
MAX_SEQ_DIGITS = 18  # the number of a trade is a bigint in Postgres


def fee_schedule(rates: FeeRates) -> FeeSchedule:
    """The rates in hundredths of a basis point, clients by name."""
    clients = sorted((name, _rate(own.maker), _rate(own.taker)) for name, own in rates.clients.items())
    return FeeSchedule(_rate(rates.maker), _rate(rates.taker), tuple(ClientRates(*each) for each in clients))


def fee_rates(schedule: FeeSchedule) -> FeeRates:
    """The rates of a schedule as text."""
    clients = {name: ClientFeeRates(_text(maker), _text(taker)) for name, maker, taker in schedule.clients}
    return FeeRates(_text(schedule.maker), _text(schedule.taker), clients)


def trade_id(instrument: str, seq: int) -> str:
    """The id of a market's trade with this number."""
    return f"{instrument}-{seq}"


def instrument_of_trade(text: str) -> str:
    """The market in the id of a trade."""
    return text.rpartition("-")[0]


def trade_seq(instrument: str, text: str) -> int:
    """The number in the id of a trade; NOT_REPRESENTABLE if no trade of this market can have that id."""
    number = text.removeprefix(f"{instrument}-")
    is_one = number.isascii() and number.isdecimal() and len(number) <= MAX_SEQ_DIGITS
    return int(number) if is_one and trade_id(instrument, int(number)) == text else NOT_REPRESENTABLE


def _rate(text: str) -> int:
    whole, _, fraction = text.removeprefix("-").partition(".")
    rate = int(whole + fraction.ljust(RATE_DIGITS, "0"))
    return -rate if text.startswith("-") else rate


def _text(rate: int) -> str:
    return signed_text(rate, RATE_DIGITS)
