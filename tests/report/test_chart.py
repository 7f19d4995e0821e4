"""What all charts share."""

import subprocess
import sys
from pathlib import Path

import altair as alt
import pytest

import afina.report
from afina.report.chart import finish, number_format, spans_decades

LIBRARY = Path(afina.report.__file__).with_name("vega.js")


def test_many_rows_are_drawn_and_no_setting_is_touched() -> None:
    """More rows than altair's limit pass, and the limit of the process stays as it was."""
    before = alt.data_transformers.active, dict(alt.data_transformers.options)
    rows = [{"x": i, "y": i} for i in range(20_000)]
    drawing = alt.layer(alt.Chart(alt.NamedData("rows")).mark_line().encode(x="x:Q", y="y:Q"))
    spec = finish(drawing, {"rows": rows}, 100)
    assert spec["datasets"]["rows"] == rows
    assert (alt.data_transformers.active, dict(alt.data_transformers.options)) == before


def test_the_library_fits_into_a_script_element() -> None:
    """The drawing library holds nothing that ends or hides a script element."""
    text = LIBRARY.read_text(encoding="utf-8").lower()
    assert "</script" not in text
    assert "<!--" not in text
    assert len(text) < 1_500_000


@pytest.mark.slow
def test_the_library_is_the_one_that_vl_convert_bundles() -> None:
    """vega.js is unchanged from its source; write it anew from the text here for another version."""
    vl_convert = pytest.importorskip("vl_convert")
    if vl_convert.get_vega_embed_version() != "7.0.2":
        pytest.skip("this vl-convert-python bundles other versions")

    text = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", "6.4")

    assert text == LIBRARY.read_text(encoding="utf-8")


def test_no_pandas_is_needed() -> None:
    """A report is written without pandas or polars."""
    code = (
        "import sys; sys.modules['pandas'] = sys.modules['polars'] = None\n"
        "from afina.report.curves import loss_chart\n"
        "from afina.report.metrics import Curve, Metrics\n"
        "metrics = Metrics(Curve([1, 2], [1.0, 0.5]), {}, Curve(), Curve(), 2, 2, None)\n"
        "assert loss_chart(metrics, None, 'nats') is not None\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_log_axis_is_for_decades() -> None:
    """Two decades above 0 ask for a log axis; less, zero or the ends of float64 do not."""
    assert spans_decades([0.01, 1.0])
    assert not spans_decades([0.02, 1.0])
    assert not spans_decades([0.0, 1.0])
    assert not spans_decades([5e-324, 1.7e308])
    assert not spans_decades([])


def test_large_numbers_are_written_short() -> None:
    """Ticks of ten thousands are written with a k, those of a learning rate are not."""
    assert number_format([0.0, 20_000.0]) == "~s"
    assert number_format([0.0, 830.0]) == number_format([0.003]) == ",~f"
    assert number_format([3e-5]) == "~g"
    assert number_format([]) == "~g"
