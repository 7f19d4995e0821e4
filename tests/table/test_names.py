"""Names in messages: the nearest one, and lists that stay short."""

import pytest

from afina.errors import TableError
from afina.table import nearest_name, suggest_names
from afina.table.names import check_names, did_you_mean, list_names, show_cell


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("prise", "price"), ("PRICE", "price"), (" price ", "price"), ("yaer", "year"), ("zzz", None)],
)
def test_nearest_name(name: str, nearest: str | None) -> None:
    """A slip of the finger, of case or of spaces finds the name that was meant."""
    assert nearest_name(name, ["year", "price"]) == nearest
    assert did_you_mean(name, ["year", "price"]) == (
        f" Did you mean {nearest!r}?" if nearest else ""
    )


def test_lists_stay_short() -> None:
    """Five names are written out; long names and cells are cut."""
    assert list_names(["a"]) == "'a'"
    assert list_names(list("abcdefg")).endswith("'e' and 2 more")
    assert len(list_names(["x" * 1000])) < 70
    assert len(show_cell("x" * 10**6)) < 70
    assert show_cell(5) == "5"


def test_names_of_a_table() -> None:
    """Names are there and differ."""
    check_names(["a", "A", "a "], "t")
    with pytest.raises(TableError, match="'b' appears more than once"):
        check_names(["a", "b", "b", "b"], "t")
    with pytest.raises(TableError, match="column 2 of 2"):
        check_names(["a", ""], "t")


@pytest.mark.parametrize(
    ("absent", "others", "sentence"),
    [
        (["Age"], ["age", "x"], "Did you mean 'age'?"),
        (["Age", "Sex"], ["age", "x"], "Did you mean 'age'? Rename it to 'Age'."),
        (["a1", "a2"], ["A2", "A1"], "Did you mean 'A1', 'A2'? Rename them to 'a1', 'a2'."),
        (["Age", "Sex"], ["length", "width"], ""),
        ([], ["age"], ""),
        (["nope"], ["income"], ""),
    ],
)
def test_absent_names_are_found_among_others(absent, others, sentence):
    """Each absent name gets one near name, and no column is suggested twice."""
    assert suggest_names(absent, others) == sentence
