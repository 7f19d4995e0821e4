"""Whether whole numbers are probably codes, whose order and distance mean nothing."""

import re

import numpy as np
from numpy.typing import NDArray

_CODE_WORDS = frozenset(
    [
        "id",
        "ids",
        "code",
        "codes",
        "zip",
        "zipcode",
        "postcode",
        "postal",
        "plz",
        "sku",
        "ean",
        "upc",
        "isbn",
        "gtin",
        "naics",
        "sic",
        "icd",
        "fips",
    ]
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_ROWS_A_CODE, _SPARSE = 5, 3


def look_like_codes(name: str, whole: NDArray[np.int64]) -> bool:
    """Return whether a column's name or its values suggest codes.

    Either the name has a word such as "id", "code" or "zip", or the numbers all have the same
    number of digits, repeat often, and are sparse and irregular, as industry codes are. Ages,
    grades, multiples of five and years are not.

    Args:
        name: name of the column.
        whole: its numbers. Shape (n_rows,).

    Example:
        >>> look_like_codes("store_id", np.array([1, 2, 3])), look_like_codes("idea", np.arange(3))
        (True, False)
        >>> look_like_codes("s", np.repeat([101, 205, 377, 912], 9))
        True
        >>> look_like_codes("price", np.repeat([100, 150, 200, 250], 9))
        False
    """
    if len(whole) < 2 or whole.min() < 0:
        return False
    values = np.unique(whole)
    if len(values) < 3:
        return False
    if _CODE_WORDS & {word.lower() for word in _WORD.findall(name)}:
        return True
    low, high = int(values[0]), int(values[-1])
    slots = (high - low) // int(np.gcd.reduce(np.diff(values))) + 1
    return (
        len(str(low)) == len(str(high)) >= 2
        and len(whole) >= _ROWS_A_CODE * len(values)
        and slots >= _SPARSE * len(values)
        and not (low >= 1500 and high <= 2200)
    )
