import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossloom import units


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("2 mW", "power", 2e-3),
        ("1200 um^2", "area", 1.2e-3),
        ("0.37 mm2", "area", 0.37),
        ("1.28 GHz", "rate", 1.28e9),
        ("64 KiB", "capacity", 65536.0),
        ("100ns", "time", 1e-7),
        ("1e-12 J", "energy", 1e-12),
        ("3.9 µW", "power", 3.9e-6),
        (0, "power", 0.0),
        ("2.5 Ohm", "resistance", 2.5),
        ("22 nm", "length", 2.2e-8),
        ("5 mm", "length", 5e-3),
        (7, "number", 7.0),
    ],
)
def test_parse(text: str, dimension: units.Dimension, value: float) -> None:
    assert units.parse(text, dimension) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "dimension"),
    [
        ("2 mJ", "power"),
        ("5", "power"),
        ("2 mX", "energy"),
        ("two mW", "power"),
        ("1 um", "area"),
        ("", "time"),
        ("2 Ohm", "length"),
        ("2 nm^2", "length"),
    ],
)
def test_wrong_unit_says_what_was_expected(text: str, dimension: units.Dimension) -> None:
    with pytest.raises(ValueError, match="expected"):
        units.parse(text, dimension)


@given(st.floats(1e-14, 1e13))
def test_show_can_be_read_back(value: float) -> None:
    assert units.parse(units.show(value, "J", 9), "energy") == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (12345.678, "mm²", "12,346 mm²"),
        (999.96e-9, "J", "1 µJ"),
        (float("nan"), "J", "nan J"),
        (0.0099999, "mm²", "10,000 µm²"),
        (5e16, "J", "50,000 TJ"),
    ],
)
def test_show_at_the_edges(value: float, unit: str, text: str) -> None:
    assert units.show(value, unit) == text
