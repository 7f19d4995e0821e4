"""Labels that look alike."""

import pytest

from afina.table import read_target, to_table


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (["1", "1.0", "2"], ["'1', '1.0' are the same number and one class"]),
        (["01", "1", "2"], ["'01', '1' are the same number, and are separate classes"]),
        (
            ["yes", "Yes ", "no"],
            ["'yes', 'Yes ' differ only in case or spaces, and are separate classes"],
        ),
        (
            ["-0.50", "-.5", "x"],
            ["'-0.50', '-.5' are the same number, and are separate classes"],
        ),
        (["a", "b", "ab"], []),
        (["10", "100", "1"], []),
    ],
)
def test_labels_that_look_alike_are_told(labels: list[str], says: list[str]) -> None:
    """Numbers written in two ways, and words that differ in case, are named with what was done."""
    column = to_table({"y": labels * 4}).column("y")

    target = read_target(column, name="y", source="t.csv", task="classification")

    assert list(target.notes) == [f"t.csv: target 'y': {sentence}" for sentence in says]
    assert len(target.classes) == len(labels) - any("one class" in s for s in says)
