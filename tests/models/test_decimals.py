"""Decimal text and ints, exactly (app/models/decimals.py)."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models.decimals import LARGEST_UNITS, InvalidDecimal, Scale, decimals_of, plain, shortest, text, units


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


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("70000.01", "70000.01"),
        ("1.50", "1.50"),
        ("1e-05", "0.00001"),
        ("1E-8", "0.00000001"),
        ("1e0", "1"),
        ("1E+2", "100"),
        ("12.5e1", "125"),
        ("1.2345e2", "123.45"),
        ("0.00001e5", "1"),
        ("1.000000000", "1"),
        ("10000000000000e-1", None),
        ("100000000000000e-3", "100000000000"),
        ("0.999999999999999999999e12", None),
        ("99999999999999999999e-8", "999999999999.99999999"),
        ("0." + "0" * 5_000 + "1e5001", "1"),
        ("1" + "0" * 5_000 + "e-5000", "1"),
        ("1e+00000000000000000002", "100"),
        ("1e-" + "0" * 60_000 + "2", "0.01"),
        ("-0", "0"),
        ("-0.0e999999999999", "0"),
        ("0E-999999999999", "0"),
        ("-1", None),
        ("-1e-5", None),
        ("1e-9", None),
        ("0.000000001", None),
        ("1e12", None),
        ("1e999", None),
        ("1E+1000000", None),
        ("1e" + "9" * 5_000, None),
        ("1e-" + "9" * 5_000, None),
        ("9" * 5_000, None),
        ("+1", None),
        ("1e", None),
        (".5", None),
        ("1.", None),
        ("true", None),
        ("[1]", None),
        ("NaN", None),
        ("1e٣", None),
    ],
    ids=lambda text: str(text)[:24],
)
def test_a_json_number_is_read_exactly_in_any_spelling(number: str, expected: str | None) -> None:
    """As Python and JavaScript write them; a value beyond 12 and 8 digits is refused, however short its spelling."""
    if expected is None:
        with pytest.raises(InvalidDecimal):
            plain(number)
    else:
        assert plain(number) == expected
        assert units(plain(number)) == Decimal(number) * 10**8


@given(st.integers(min_value=0, max_value=LARGEST_UNITS), st.integers(min_value=-30, max_value=30))
def test_shifting_the_point_of_a_number_changes_nothing(value: int, shift: int) -> None:
    """The exponent takes back what the mantissa was given."""
    assert units(plain(f"{Decimal(value).scaleb(shift - 8):f}e{-shift}")) == value


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
