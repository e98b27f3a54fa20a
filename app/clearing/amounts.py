"""Amounts: integers of 10^-16 of an asset, and their one text without trailing zeros."""

import re

DECIMALS = 16
ONE = 10_000_000_000_000_000
UNITS_PER_ONE = 100_000_000
"""Prices and quantities are integers of 10^-8, so a price times a quantity is an amount."""
_TEXT = re.compile(rf"(-?)([0-9]+)(?:\.([0-9]{{1,{DECIMALS}}}))?", re.ASCII)


def text(amount: int) -> str:
    """An amount as a plain decimal: 0, -0.5, 12."""
    whole, fraction = divmod(abs(amount), ONE)
    sign, decimals = "-" if amount < 0 else "", f"{fraction:0{DECIMALS}d}".rstrip("0")
    return f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"


def amount_of(decimal: str) -> int:
    """A plain decimal as an amount; raises ValueError for anything else, or for more decimals than an amount has."""
    found = _TEXT.fullmatch(decimal)
    if found is None:
        raise ValueError(f"not a decimal of at most {DECIMALS} decimals: {decimal[:64]!r}")
    sign, whole, fraction = found.groups(default="")
    amount = int(whole) * ONE + int(fraction.ljust(DECIMALS, "0"))
    return -amount if sign else amount


def of_units(units: int) -> int:
    """A quantity in 10^-8 as an amount of its asset."""
    return units * (ONE // UNITS_PER_ONE)
