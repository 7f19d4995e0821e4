"""The table of columns."""

from typing import Any

import pytest

from afina.report.columns import columns_section


def _column(**more: Any) -> dict[str, Any]:
    return {"name": "price", "kind": "numeric", "why": "numbers", "missing_frac": 0.0} | more


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (_column(minimum=0.5, maximum=1234.56), "0.5 to 1,234.56"),
        (_column(minimum=-3.0, maximum=2e15), "-3 to 2e+15"),
        (
            _column(kind="datetime", minimum=0.0, maximum=86399.0),
            "1970-01-01 to 1970-01-01 23:59:59",
        ),
        (_column(kind="datetime", minimum=-1e18, maximum=0.0), "-1e+18 s to 1970-01-01"),
        (_column(kind="categorical", vocabulary=list("abcdefg")), "<q>e</q> and 2 more"),
        (_column(missing_frac=0.0002), "&lt;0.1 %"),
        (_column(missing_frac=0.0855), "8.6 %"),
        (_column(n_unique=3564), "3,564"),
        (_column(name="Größe <b>"), "Größe &lt;b&gt;"),
        (_column(minimum=None, maximum=None), "numeric"),
    ],
)
def test_what_stands_in_a_row(column: dict[str, Any], text: str) -> None:
    """Ranges, dates, levels, shares and names are written for a reader."""
    assert text in columns_section({"columns": [column]})


def test_many_columns_are_cut() -> None:
    """Of 10,000 columns 200 are shown, and the number of the others is said."""
    section = columns_section({"columns": [_column(name=f"x{i}") for i in range(10_000)]})
    assert section.count("<tr") == 201
    assert "and 9,800 more" in section
    assert "10,000 columns (10,000 numeric)" in section


@pytest.mark.parametrize("schema", [None, {}, {"columns": None}])
def test_no_schema_yet(schema: Any) -> None:
    """A run without a schema says so."""
    assert "no schema.json yet" in columns_section(schema)
