"""Small tables of text."""

from rich.cells import cell_len

from afina.cli.tables import align, score_lines


def test_align() -> None:
    """Columns line up by what a terminal shows, also for wide letters and long names."""
    lines = align([("列名", "b", "c"), ("x" * 99, "numeric", "why\nnot")])

    assert cell_len(lines[0].partition("b")[0]) == lines[1].index("numeric")
    assert lines[1].startswith("  " + "x" * 39 + "…  numeric  why not")


def test_scores() -> None:
    """Each score stands beside the baseline's, with digits enough to tell them apart."""
    lines = score_lines({"accuracy": 0.81461, "log_loss": 0.5}, {"accuracy": 0.81472})

    assert lines == [
        "  score     model   baseline",
        "  accuracy  0.8146  0.8147",
        "  log_loss  0.500",
    ]
