"""Decimal text and ints, exactly (app/models/decimals.py)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models.decimals import LARGEST_UNITS, InvalidDecimal, Scale, decimals_of, shortest, text, units


@pytest.mark.parametrize(
    ("decimal", "expected"),
    [
        ("0", 0),
        ("1", 10**8),
        ("0.00000001", 1),
        ("70000.01", 7_000_001_000_000),
        ("007.50", 750_000_000),
        ("999999999999.99999999", LARGEST_UNITS),
    ],
)
def test_a_plain_decimal_is_read_exactly(decimal: str, expected: int) -> None:
    """Units are 10^-8, so every allowed decimal is an int."""
    assert expected == units(decimal)


@pytest.mark.parametrize(
    "decimal",
    [
        "",
        " 1",
        "1 ",
        "1\n",
        "+1",
        "-1",
        ".5",
        "1.",
        "1e5",
        "1E+1000000",
        "1_000",
        "٣",
        "NaN",
        "Infinity",
        "0x1",
        "1,5",
        "1234567890123",
        "0.123456789",
        "1.2.3",
        "0" * 10000,
    ],
)
def test_other_spellings_of_numbers_are_refused(decimal: str) -> None:
    """int() and Decimal() would take some of them, and a few would take minutes to read."""
    with pytest.raises(InvalidDecimal):
        units(decimal)


@given(st.integers(min_value=0, max_value=LARGEST_UNITS))
def test_text_and_units_are_inverse(value: int) -> None:
    """What is written is read back as the same number, in either form."""
    assert value == units(text(value, 8)) == units(shortest(value))


@given(st.integers(min_value=0, max_value=10**12), st.integers(min_value=0, max_value=8))
def test_ticks_come_back_from_their_text(ticks: int, decimals: int) -> None:
    """A price in ticks, written with the tick's decimals, is the same number of ticks."""
    scale = Scale(tick_size=10 ** (8 - decimals), lot_size=1)
    if ticks * scale.tick_size <= LARGEST_UNITS:
        price = scale.price(ticks)

        assert ticks == scale.ticks(price)
        assert decimals == len(price.partition(".")[2])


def test_a_price_between_two_ticks_is_none() -> None:
    """The book refuses it with a reason; the converter does not."""
    scale = Scale(tick_size=units("0.05"), lot_size=units("0.1"))

    assert scale.ticks("10.07") is None
    assert scale.lots("0.15") is None
    assert scale.ticks("10.05") == 201


def test_decimals_are_those_the_size_needs() -> None:
    """0.05 needs two decimals, 25 none."""
    assert [decimals_of(units(size)) for size in ("0.05", "25", "0.00000001", "2.50")] == [2, 0, 8, 1]


def test_an_average_price_is_rounded_half_up_to_eight_decimals() -> None:
    """Three fills of one lot at 1, 1 and 2 ticks of 0.01 average 0.0133333…"""
    scale = Scale(tick_size=units("0.01"), lot_size=units("1"))

    assert scale.average_price(4, 3) == "0.01333333"
    assert scale.average_price(5, 3) == "0.01666667"


def test_a_full_cache_changes_no_answer() -> None:
    """More distinct prices than the cache holds."""
    scale = Scale(tick_size=1, lot_size=1)

    assert all(scale.price(ticks) == text(ticks, 8) for ticks in range(1, 70_000))
