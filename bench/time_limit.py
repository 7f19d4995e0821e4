"""Measure whether a fit keeps its time limit, and what a tight one costs.

    python bench/time_limit.py                                   # five tables, 2 to 60 s, 5 runs each
    python bench/time_limit.py --tables credit_data --limits 2 5 --runs 1

A fit is timed as a user waits for it: from the command to its exit. Then its model is scored on a fifth
of the rows that it has not seen: log_loss for classes, rmse for numbers, divided by the same for the
baseline (the class shares, or the mean). Medians are shown. A limit is kept if the median is at most
10 % over it; from 5 s on, it should be. The error should be at most 1.01 of the baseline's at any limit.
All tables are *develop* tables.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pandas as pd
from public_tables import TABLES, PublicTable, split

FIVE = ("attrition", "credit_data", "hpc_data", "ames", "diamonds")
LATE = 1.1
WORSE = 1.01


class Measured(NamedTuple):
    """What one fit took, and how good its model is.

    Args:
        took_s: seconds from the command to its exit.
        error: error on new rows as a share of the baseline's.
        model: "network", or "constant" for the baseline.
        epochs: epochs trained.
    """

    took_s: float
    error: float
    model: str
    epochs: int


def measure(table: PublicTable, limit: float, seed: int, folder: Path) -> Measured:
    """Fit on four fifths of a table within a limit, and score the model on the rest."""
    parts = split(*table.load(), table.task, seed)
    train, test, run = folder / "train.csv", folder / "test.csv", folder / "run"
    for path, x, y in ((train, parts[0], parts[2]), (test, parts[1], parts[3])):
        pd.DataFrame(x).assign(**{table.target: y}).to_csv(path, index=False)
    task = ["--task", table.task]
    more = ["--time-limit", f"{limit:g}", "--out", str(run), "--overwrite", "-q"]
    started = time.perf_counter()
    _afina("fit", str(train), "--target", table.target, *task, *more)
    took_s = time.perf_counter() - started
    summary = json.loads((run / "summary.json").read_text())
    evaluation = json.loads(_afina("evaluate", str(run), str(test), "--json", "-q"))
    score = "rmse" if table.task == "regression" else "log_loss"
    error = evaluation["scores"][score] / evaluation["baseline_scores"][score]
    return Measured(took_s, error, summary["model"], summary["stop"]["epoch"])


def _afina(*arguments: str) -> str:
    command = [sys.executable, "-m", "afina", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def describe(table: PublicTable, limit: float, fits: list[Measured]) -> str:
    """Return a line about all fits of a table with a limit."""
    took_s = statistics.median(fit.took_s for fit in fits)
    error = statistics.median(fit.error for fit in fits)
    kept = "kept" if took_s <= LATE * limit else "NOT kept"
    worse = "" if error <= WORSE else "  WORSE than the baseline"
    models = "/".join(sorted({fit.model for fit in fits}))
    epochs = statistics.median(fit.epochs for fit in fits)
    return (
        f"{table.name:24} limit {limit:5g} s  took {took_s:6.2f} s  {kept:8}  "
        f"error {error:.3f} of the baseline's{worse}  ({models}, {epochs:g} epochs)"
    )


def main() -> None:
    """Measure every table with every limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limits", type=float, nargs="+", default=[2.0, 5.0, 15.0, 60.0])
    parser.add_argument("--tables", nargs="+", default=FIVE, help="items of develop tables")
    parser.add_argument("--runs", type=int, default=5, help="fits per table and limit")
    args = parser.parse_args()
    tables = [t for t in TABLES if t.item in args.tables and t.half == "develop"]
    for table in tables:
        for limit in args.limits:
            with TemporaryDirectory() as folder:
                fits = [measure(table, limit, seed, Path(folder)) for seed in range(args.runs)]
            print(describe(table, limit, fits), flush=True)


if __name__ == "__main__":
    main()
