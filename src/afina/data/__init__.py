"""The small real table that ships with afina: `credit.csv`, 4,454 loans, good or bad.

Source: R package modeldata, MIT license; see `LICENSE-credit.txt` next to the table.
"""

from pathlib import Path

__all__ = ["BUNDLED_TARGET", "bundled_table"]

BUNDLED_TARGET = "Status"


def bundled_table() -> Path:
    """Return the path of the bundled table, a CSV file with text, numbers and empty cells.

    Example:
        >>> bundled_table().name
        'credit.csv'
    """
    return Path(__file__).with_name("credit.csv")
