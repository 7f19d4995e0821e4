"""Measure by how much a fit exceeds its time limit, from the command to its exit.

    python bench/time_limit.py --limits 5 10 20

Uses diamonds (54,000 rows), a *develop* table on which the default would take minutes.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from public_tables import TABLES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limits", type=float, nargs="+", default=[5.0, 10.0, 20.0])
    args = parser.parse_args()
    table = next(table for table in TABLES if table.item == "diamonds")
    x, y = table.load()
    with TemporaryDirectory() as folder:
        path, run = Path(folder, "diamonds.csv"), Path(folder, "run")
        x.assign(**{table.target: y}).to_csv(path, index=False)
        for limit in args.limits:
            command = [sys.executable, "-m", "afina", "fit", path, "--target", table.target]
            more = ["--time-limit", limit, "--out", run, "--overwrite", "-q"]
            started = time.perf_counter()
            subprocess.run(list(map(str, command + more)), check=True, stdout=subprocess.DEVNULL)
            took = time.perf_counter() - started
            why = json.loads((run / "summary.json").read_text())["stop"]["why"]
            print(f"limit {limit:g} s: {took:.2f} s, {took / limit:.2f} of it ({why})", flush=True)


if __name__ == "__main__":
    main()
