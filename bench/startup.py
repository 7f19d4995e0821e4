"""Measure how long `afina --help` takes.

    python bench/startup.py

The goal is less than 200 ms. A bare interpreter is timed for comparison.
"""

import statistics
import subprocess
import sys
import time

N_RUNS = 20


def time_run(arguments: list[str]) -> float:
    """Run a program and return its wall-clock time in milliseconds."""
    started = time.perf_counter()
    subprocess.run(arguments, check=True, capture_output=True)
    return (time.perf_counter() - started) * 1000


def main() -> None:
    """Time a few programs in alternation, so that load affects all of them."""
    programs = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "afina --help": [sys.executable, "-m", "afina", "--help"],
        "afina fit --help": [sys.executable, "-m", "afina", "fit", "--help"],
        "import afina": [sys.executable, "-c", "import afina"],
    }
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(N_RUNS):
        for name, arguments in programs.items():
            times[name].append(time_run(arguments))
    for name, milliseconds in times.items():
        print(
            f"{name:18} median {statistics.median(milliseconds):6.1f} ms   best {min(milliseconds):6.1f} ms"
        )


if __name__ == "__main__":
    main()
