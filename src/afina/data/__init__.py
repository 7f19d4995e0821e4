"""The small real table that ships with afina: `credit.csv`, 4,454 loans, good or bad.

Source: R package modeldata, MIT license; see `LICENSE-credit.txt` next to the table.
"""

from pathlib import Path

__all__ = ["BUNDLED_TARGET", "bundled_table", "shown_path"]

BUNDLED_TARGET = "Status"


def bundled_table() -> Path:
    """Return the path of the bundled table, a CSV file with text, numbers and empty cells.

    Example:
        >>> bundled_table().name
        'credit.csv'
    """
    return Path(__file__).with_name("credit.csv")


def shown_path(path: str | Path) -> str:
    """Return how messages name a table: its path, but only the name of the one that is bundled."""
    bundled = Path(path).resolve() == bundled_table().resolve()
    return bundled_table().name if bundled else str(path)
