"""Exact conversion between decimal text, used outside, and ints, used inside; never through a float.

Text is first converted to *units* of 10^-8 of an asset, in which every allowed decimal is an int, and then to ticks or
lots.
"""

import re
from collections.abc import Callable
from functools import lru_cache

UNITS_PER_ONE = 10**8
UNIT_DIGITS = 8
LARGEST_UNITS = 10**20 - 1  # 999999999999.99999999
WHOLE_DIGITS = 12
MAX_EXPONENT_DIGITS = 7
"""We refuse longer exponents: to balance one takes 10^7 digits, more than any body has; int() would take minutes."""
# Checked before any arithmetic, because int() and Decimal() also read other spellings ("1e9", "٣", " 1", "1_0").
_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,8})?", re.ASCII)
_JSON_NUMBER = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?", re.ASCII)
_CACHE_LIMIT = 65_536


class InvalidDecimal(ValueError):
    """The text is not a plain decimal of at most 12 digits before and 8 after the point."""


@lru_cache(maxsize=16_384)
def units(text: str) -> int:
    """The decimal in units of 10^-8; raises InvalidDecimal."""
    if _DECIMAL.fullmatch(text) is None:
        raise _invalid(text)
    whole, _, fraction = text.partition(".")
    return int(whole) * UNITS_PER_ONE + int(fraction.ljust(UNIT_DIGITS, "0"))


def plain(number: str) -> str:
    """A JSON number in any spelling (1e-05, 1E+2, -0, 1.500000000) as plain decimal text of exactly the same value.

    Raises InvalidDecimal.
    """
    if _DECIMAL.fullmatch(number) is not None:
        return number
    found = _JSON_NUMBER.fullmatch(number)
    if found is None:
        raise _invalid(number)
    sign, whole, fraction, exponent = found.groups(default="")
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return "0"
    size = exponent.lstrip("+-0")
    if sign or len(size) > MAX_EXPONENT_DIGITS:
        raise _invalid(number)
    shift = -int(size or 0) if exponent.startswith("-") else int(size or 0)
    significant = digits.rstrip("0")
    power = shift - len(fraction) + len(digits) - len(significant)
    if power < -UNIT_DIGITS or len(significant) + power > WHOLE_DIGITS:
        raise _invalid(number)
    return shortest(int(significant) * 10 ** (power + UNIT_DIGITS))


def text(value: int, decimals: int) -> str:
    """Units as text with this many decimals; further digits must be zero."""
    whole, fraction = divmod(value, UNITS_PER_ONE)
    return f"{whole}.{fraction:08d}"[: -UNIT_DIGITS + decimals or None] if decimals else str(whole)


def shortest(value: int) -> str:
    """Units as text without trailing zeros: 0.01, 1, 1.5."""
    return text(value, decimals_of(value))


def decimals_of(value: int) -> int:
    """How many decimals these units need: 0 for 10^8, 2 for 10^6 (0.01)."""
    decimals = UNIT_DIGITS
    while decimals and value % 10 == 0:
        value //= 10
        decimals -= 1
    return decimals


def _invalid(text: str) -> InvalidDecimal:
    return InvalidDecimal(f"not a decimal of at most 12 digits before and 8 after the point: {text[:32]!r}")


def signed_text(value: int, decimals: int) -> str:
    """A number of 10^-decimals as text with these decimals; zero, whatever the decimals, is "0"."""
    if not value:
        return "0"
    return ("-" if value < 0 else "") + fixed_text(abs(value), decimals)


def fixed_text(value: int, decimals: int) -> str:
    """A number of 10^-decimals, not negative, as text with these decimals."""
    whole, fraction = divmod(value, 10**decimals)
    return f"{whole}.{fraction:0{decimals}d}" if decimals else str(whole)


class Scale:
    """Converts one instrument's ticks, lots and fees to and from text. Both sizes are in units."""

    def __init__(self, tick_size: int, lot_size: int, quote_scale: int = UNIT_DIGITS) -> None:
        assert tick_size > 0 and lot_size > 0
        self.tick_size, self.lot_size, self.quote_scale = tick_size, lot_size, quote_scale
        self._price_decimals, self._quantity_decimals = decimals_of(tick_size), decimals_of(lot_size)
        # A tick x lot in units of the last decimal that an amount has.
        self._amount_decimals = self._price_decimals + self._quantity_decimals
        self._amount = tick_size * lot_size // 10 ** (2 * UNIT_DIGITS - self._amount_decimals)
        self.price: Callable[[int], str] = _Texts(tick_size).__getitem__
        """A price in ticks as text with the decimals of the tick size."""
        self.quantity: Callable[[int], str] = _Texts(lot_size).__getitem__
        """A quantity in lots as text with the decimals of the lot size."""

    def ticks(self, price: str) -> int | None:
        """Text as ticks; None if it is not a whole number of ticks. Raises InvalidDecimal."""
        ticks, rest = divmod(units(price), self.tick_size)
        return None if rest else ticks

    def lots(self, quantity: str) -> int | None:
        """Text as lots; None if it is not a whole number of lots. Raises InvalidDecimal."""
        lots, rest = divmod(units(quantity), self.lot_size)
        return None if rest else lots

    def fee(self, amount: int) -> str:
        """A fee in units of 10^-quote_scale as text with that many decimals; "0" for none."""
        return signed_text(amount, self.quote_scale)

    def volume(self, lots: int) -> str:
        """A sum of quantities as text with the decimals of the lot size; unlike `quantity` it caches nothing."""
        return text(lots * self.lot_size, self._quantity_decimals)

    def amount(self, notional: int) -> str:
        """Ticks x lots as text with the decimals of the tick size and the lot size together, so exactly."""
        return fixed_text(notional * self._amount, self._amount_decimals)

    def price_change(self, ticks: int) -> str:
        """A difference of prices as text with the decimals of the tick size."""
        return ("-" if ticks < 0 else "") + text(abs(ticks) * self.tick_size, self._price_decimals)

    def average_price(self, notional: int, lots: int) -> str:
        """notional (ticks x lots) / lots as text with eight decimals, rounded half up."""
        return text((2 * notional * self.tick_size + lots) // (2 * lots), UNIT_DIGITS)


class _Texts(dict[int, str]):
    """A cache from numbers of ticks or lots to their text; a hit costs only a dict look-up."""

    def __init__(self, size: int) -> None:
        self._size, self._decimals = size, decimals_of(size)

    def __missing__(self, number: int) -> str:
        if len(self) >= _CACHE_LIMIT:
            self.clear()
        found = self[number] = text(number * self._size, self._decimals)
        return found
