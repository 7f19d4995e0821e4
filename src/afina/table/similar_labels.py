"""Labels of a target that look alike, and may by mistake be one class or several."""

from collections.abc import Callable, Iterator, Sequence

from afina.table.names import list_names
from afina.table.numeric import canonical_number

_MOST_GROUPS = 3


def notes_on_labels(texts: Sequence[str], where: str, *, are_numbers: bool) -> list[str]:
    """Say which labels look alike, and whether they are one class.

    Args:
        texts: the distinct labels, as written.
        where: the table and the target, for messages.
        are_numbers: whether all labels are numbers, so that equal ones are one class.

    Example:
        >>> notes_on_labels(["1", "1.0", "2"], "t.csv: target 'y'", are_numbers=True)
        ["t.csv: target 'y': '1', '1.0' are the same number and one class"]
        >>> notes_on_labels(["yes", "Yes", "no"], "t.csv: target 'y'", are_numbers=False)
        ["t.csv: target 'y': 'yes', 'Yes' differ only in case or spaces, and are separate classes"]
    """
    apart = "and are separate classes"
    rules = [(_number, "are the same number and one class")]
    if not are_numbers:
        rules = [
            (_number, f"are the same number, {apart}"),
            (_letters, f"differ only in case or spaces, {apart}"),
        ]
    return [
        f"{where}: {list_names(group)} {sentence}"
        for key, sentence in rules
        for group in list(_alike(texts, key))[:_MOST_GROUPS]
    ]


def _alike(texts: Sequence[str], key: Callable[[str], str]) -> Iterator[list[str]]:
    groups: dict[str, list[str]] = {}
    for text in texts:
        groups.setdefault(key(text), []).append(text)
    return (group for group in groups.values() if len(group) > 1)


def _number(text: str) -> str:
    """Return one spelling for each number; any other text is returned unchanged."""
    word = text.strip()
    sign = "-" if word.startswith("-") else ""
    digits = word.lstrip("+-").lstrip("0") or "0"
    return canonical_number(sign + (f"0{digits}" if digits.startswith(".") else digits)) or text


def _letters(text: str) -> str:
    return text if _number(text) != text else "".join(text.split()).casefold()
