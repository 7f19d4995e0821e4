"""Whatever is put into a template stays text."""

import html
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError

from afina.report.chart import Chart
from afina.report.formatting import clean
from afina.report.templates import fill

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def embedded(spec: dict[str, object]) -> str:
    """Return what stands in the script element of a chart's figure."""
    page = fill("figure", chart=Chart("loss", "Loss", spec))
    found = re.search(r'id="spec-loss">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return found[1]


@given(st.text())
def test_escaped_text_has_no_markup(text: str) -> None:
    """Whatever the text, nothing of it can open an element or leave an attribute."""
    escaped = fill("note", text=text).removeprefix('<p class="note">').removesuffix("</p>")
    assert not set(escaped) & set("<>\"'")
    assert html.unescape(escaped) == clean(text, 400)


def test_umlauts_and_tildes_stay() -> None:
    """Letters of German and Spanish come through unchanged."""
    assert "Größe, año, ¿sí?" in fill("note", text="Größe, año, ¿sí?")


@settings(max_examples=40)
@given(st.dictionaries(st.text(), JSON))
def test_an_embedded_spec_cannot_end_its_element(spec: dict[str, object]) -> None:
    """Nothing in a spec can close the script element, and all of it reads back."""
    text = embedded(spec)
    assert "<" not in text
    assert text.isascii()
    assert json.loads(text) == spec


def test_json_alone_would_end_it() -> None:
    """The seeded fault, plain JSON, does hold the closing tag that the template keeps out."""
    spec: dict[str, object] = {"title": "</script><script>alert(1)</script>"}
    assert "</script>" in json.dumps(spec)
    assert json.loads(embedded(spec)) == spec


def test_a_value_that_is_missing_is_an_error() -> None:
    """A template that asks for a value nobody passes fails, and writes no gap."""
    with pytest.raises(UndefinedError, match="text"):
        fill("note")
