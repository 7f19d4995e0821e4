"""Confusion matrix, and predicted against true."""

import math

from hypothesis import given
from hypothesis import strategies as st

from afina.records.summary_json import Confusion, Scatter
from afina.report.outcome import N_POINTS, confusion_chart, most_confused, scatter_chart

COUNTS = st.integers(1, 8).flatmap(
    lambda n: st.lists(
        st.lists(st.integers(0, 9), min_size=n, max_size=n), min_size=n, max_size=n
    ).map(lambda rows: Confusion(tuple(f"c{i}" for i in range(len(rows))), tuple(map(tuple, rows))))
)


def _many(n: int) -> Confusion:
    """`n` classes, of which class 150 is often taken for class 3."""
    counts = [[50 if i == j else 0 for j in range(n)] for i in range(n)]
    counts[150][3] = 40
    return Confusion(tuple(f"class {i}" for i in range(n)), tuple(map(tuple, counts)))


def test_every_cell_is_drawn() -> None:
    """A matrix has its counts, the share of the true class, and says which cells are right."""
    chart = confusion_chart(Confusion(("bad", "good"), ((3, 1), (0, 4))))
    assert chart is not None
    cells = chart.spec["datasets"]["cells"]
    assert [cell["rows"] for cell in cells] == [3, 1, 0, 4]
    assert [cell["share"] for cell in cells] == [0.75, 0.25, 0.0, 1.0]
    assert [cell["right"] for cell in cells] == [True, False, False, True]
    assert [cell["text"] for cell in cells] == ["3", "1", "0", "4"]


def test_many_classes_fall_back_to_the_most_confused() -> None:
    """Of 200 classes the confused ones are shown, and the caption says how many are not."""
    chart = confusion_chart(_many(200))
    assert chart is not None
    cells = chart.spec["datasets"]["cells"]
    assert len(cells) == 15 * 15
    shown = {cell["true"] for cell in cells}
    assert {"class 3", "class 150"} <= shown
    assert "15 most confused of 200 classes, 790 of 10,040 rows" in chart.caption


@given(COUNTS, st.integers(1, 8))
def test_the_most_confused_are_a_part_of_the_matrix(confusion: Confusion, n: int) -> None:
    """Labels keep their order, cells their counts; no class left out has more mistakes."""
    part = most_confused(confusion, n)
    places = [confusion.labels.index(label) for label in part.labels]
    assert places == sorted(places)
    assert len(places) == min(n, len(confusion.labels))
    assert part.counts == tuple(tuple(confusion.counts[i][j] for j in places) for i in places)
    mistakes = [
        sum(confusion.counts[i]) + sum(row[i] for row in confusion.counts) - 2 * row_i[i]
        for i, row_i in enumerate(confusion.counts)
    ]
    left_out = [m for i, m in enumerate(mistakes) if i not in places]
    assert not left_out or min(mistakes[i] for i in places) >= max(left_out)


def test_labels_that_are_cut_to_the_same_stay_apart() -> None:
    """Two long labels with the same beginning are two rows, not one."""
    chart = confusion_chart(Confusion(("x" * 100 + "1", "x" * 100 + "2"), ((1, 2), (3, 4))))
    assert chart is not None
    assert len({cell["true"] for cell in chart.spec["datasets"]["cells"]}) == 2


def test_no_classes_no_matrix() -> None:
    """An empty matrix is not drawn."""
    assert confusion_chart(Confusion((), ())) is None


def test_the_diagonal_spans_the_points() -> None:
    """Both axes have the same ends, and the line of equality goes from one to the other."""
    chart = scatter_chart(Scatter((1.0, 5.0), (2.0, 9.0)), "Precio")
    assert chart is not None
    assert chart.spec["datasets"]["equal"] == [{"x": 1.0, "y": 1.0}, {"x": 9.0, "y": 9.0}]
    points = chart.spec["layer"][0]["encoding"]
    assert points["x"]["scale"] == points["y"]["scale"]
    assert points["y"]["axis"]["title"] == "predicted Precio"


def test_what_is_not_finite_is_not_drawn() -> None:
    """Rows without a finite value are left out; if none is left, so is the chart."""
    chart = scatter_chart(Scatter((1.0, None), (2.0, 3.0)), "y")
    assert chart is not None
    assert chart.spec["datasets"]["rows"] == [{"x": 1.0, "y": 2.0}]
    assert scatter_chart(Scatter((None,), (1.0,)), "y") is None


def test_the_worst_rows_stay_in_a_sample() -> None:
    """Of many rows a sample is drawn, with the largest errors in it."""
    true = tuple(math.sin(i) for i in range(50_000))
    predicted = tuple(t + (9.0 if i in (123, 45_678) else 0.01) for i, t in enumerate(true))
    chart = scatter_chart(Scatter(true, predicted), "y")
    assert chart is not None
    rows = chart.spec["datasets"]["rows"]
    assert len(rows) == N_POINTS
    assert {true[123], true[45_678]} <= {row["x"] for row in rows if row["y"] - row["x"] > 8}
    assert chart.caption.startswith("2,000 of 50,000 rows")
