"""Labels of classes: their order, and which class a label means."""

from collections.abc import Sequence

from afina.table.frame import cell_text
from afina.table.numeric import canonical_number

Label = str | int | bool | float


def find_classes(labels: Sequence[Label], classes: Sequence[Label]) -> list[int | None]:
    """Return the number of the class that each label means, or None; 1.0 also means 1.

    Example:
        >>> find_classes(["1.0", "True", "x"], [1, 2]), find_classes(["True"], [False, True])
        ([0, None, None], [1])
    """
    by_text = {cell_text(label): code for code, label in enumerate(classes)}
    by_value = {_value_key(text): code for text, code in by_text.items()}
    texts = map(cell_text, labels)
    return [by_text.get(text, by_value.get(_value_key(text))) for text in texts]


def sort_labels(labels: Sequence[Label]) -> list[int]:
    """Return the order of the labels: by value if all are numbers, else by text."""
    texts = [cell_text(label) for label in labels]
    numbers = [canonical_number(text.strip()) for text in texts]
    values = [_exact(number) for number in numbers if number is not None]
    if len(values) == len(labels):
        return sorted(range(len(labels)), key=values.__getitem__)
    return sorted(range(len(labels)), key=texts.__getitem__)


def _exact(number: str) -> int | float:
    return int(number) if number.lstrip("-").isdigit() else float(number)


def _value_key(text: str) -> str:
    """Write a label so that 1 equals 1.0, and True equals true."""
    word = text.strip()
    lower = word.lower()
    return lower if lower in ("true", "false") else canonical_number(word) or text
