"""Labels: which class one means, however it is written."""

import pytest

from afina.table import Label, find_classes


@pytest.mark.parametrize(
    ("label", "classes", "number"),
    [
        ("yes", ["no", "yes"], 1),
        (1, ["0", "1"], 1),
        ("1.0", [0, 1], 1),
        (1.0, ["1", "2"], 0),
        ("01", ["01", "1"], 0),
        (True, ["false", "true"], 1),
        ("TRUE", [False, True], 1),
        ("Yes", ["no", "yes"], None),
        ("", ["a", "b"], None),
    ],
)
def test_which_class_a_label_means(label: Label, classes: list[Label], number: int | None) -> None:
    """A label means the class that is written alike, else the class of the same value."""
    assert find_classes([label], classes) == [number]
