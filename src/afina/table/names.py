"""Write names and cells in messages, and check column names."""

from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from afina.errors import TableError

MOST_NAMED = 5


def nearest_name(name: str, names: Iterable[str]) -> str | None:
    """Return the name that the user probably meant; None if no name is similar.

    Example:
        >>> nearest_name("prise", ["year", "price"])
        'price'
        >>> nearest_name("Price", ["PRICE", "year"])
        'PRICE'
        >>> nearest_name("weight", ["year", "price"])
    """
    by_lower = {other.lower().strip(): other for other in names}
    near = get_close_matches(name.lower().strip(), by_lower, n=1, cutoff=0.65)
    return by_lower[near[0]] if near else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Suggest the most similar name, in a sentence with a leading space; empty if there is none.

    Example:
        >>> did_you_mean("prise", ["year", "price"])
        " Did you mean 'price'?"
    """
    near = nearest_name(name, names)
    return "" if near is None else f" Did you mean {near!r}?"


def suggest_names(absent: Sequence[str], others: Sequence[str]) -> str:
    """Suggest which of the other columns could be the absent ones; empty if none is similar.

    Example:
        >>> suggest_names(["Age", "Income"], ["age", "income", "city"])
        "Did you mean 'age', 'income'? Rename them to 'Age', 'Income'."
    """
    pairs: dict[str, str] = {}
    for name in absent[:MOST_NAMED]:
        near = nearest_name(name, [other for other in others if other not in pairs.values()])
        if near is not None:
            pairs[name] = near
    if len(absent) < 2 or not pairs:
        return "".join(did_you_mean(name, others).strip() for name in pairs)
    olds, news = list_names(list(pairs.values())), list_names(list(pairs))
    return f"Did you mean {olds}? Rename {'them' if len(pairs) > 1 else 'it'} to {news}."


def list_names(names: Sequence[str]) -> str:
    """List up to five names, and count the others.

    Example:
        >>> list_names(list("abcdefg"))
        "'a', 'b', 'c', 'd', 'e' and 2 more"
    """
    shown = ", ".join(repr(_shorten(name)) for name in names[:MOST_NAMED])
    rest = len(names) - MOST_NAMED
    return shown if rest <= 0 else f"{shown} and {rest} more"


def show_cell(cell: object) -> str:
    """Quote a cell for a message, shortened if it is long."""
    return repr(_shorten(cell)) if isinstance(cell, str) else repr(cell)


def count_cells(count: float) -> str:
    """Write a number of cells, in the singular or plural.

    Example:
        >>> count_cells(1), count_cells(2)
        ('1 cell', '2 cells')
    """
    return "1 cell" if count == 1 else f"{count:.0f} cells"


def check_names(names: Sequence[str], source: str) -> None:
    """Raise a TableError unless every column has a name and all names differ."""
    if empty := [number for number, name in enumerate(names, 1) if not name.strip()]:
        raise TableError(
            f"{source}: every column must have a name",
            but=f"column {empty[0]} of {len(names)} has none",
            fix="Name it in the first line (to_csv(index=False) leaves out a pandas index).",
        )
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise TableError(
            f"{source}: column names must differ",
            but=f"{list_names(repeated)} {'appears' if len(repeated) == 1 else 'appear'} more than "
            "once",
            fix="Rename or remove the repeated columns.",
        )


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
