"""Measure what starting up costs: `afina --help`, and the imports of `afina fit`.

    python bench/startup.py

Two goals. `afina --help` takes less than 200 ms; a bare interpreter is timed for comparison. And
`afina fit` on the bundled table takes, from key press to report, at most as many processor seconds as
`import torch`, 1.3 times a second fit in the same process and 2 more. The programs run alternately, so
that load affects all of them; processor seconds are those of all threads.
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

N_RUNS = 20
N_FITS = 5

TWO_FITS = """
import resource, sys
from afina.cli import run_command_line

def processor_seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

for name in ("first", "second"):
    before = processor_seconds()
    code = run_command_line(["fit", "--quiet", "--out", f"{sys.argv[1]}/{name}"])
    assert code == 0, code
print(processor_seconds() - before)
"""


def time_run(arguments: list[str]) -> float:
    """Run a program and return its wall-clock time in milliseconds."""
    started = time.perf_counter()
    subprocess.run(arguments, check=True, capture_output=True)
    return (time.perf_counter() - started) * 1000


def processor_seconds(arguments: list[str]) -> tuple[float, str]:
    """Run a program; return the processor seconds of the whole process, and its output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run(arguments, check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, run.stdout


def time_help() -> None:
    """Time the programs that load nothing heavy."""
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


def fit_rounds(folder: str) -> Iterator[tuple[float, float, float]]:
    """Yield the processor seconds of `import torch`, a second fit, and `afina fit`, round by round."""
    python = sys.executable
    for number in range(N_FITS + 1):
        place = f"{folder}/{number}"
        torch, _ = processor_seconds([python, "-c", "import torch"])
        _, second = processor_seconds([python, "-c", TWO_FITS, place])
        fit, _ = processor_seconds(
            [python, "-m", "afina", "fit", "--quiet", "--out", f"{place}/alone"]
        )
        if number:  # the first round fills the disk's cache
            yield torch, float(second.split()[-1]), fit


def measure_fit() -> bool:
    """Compare `afina fit` with its goal; return whether the median keeps it."""
    with tempfile.TemporaryDirectory() as folder:
        rounds = list(fit_rounds(folder))
    for name, seconds in zip(
        ("import torch", "a second fit", "afina fit"), zip(*rounds, strict=True), strict=True
    ):
        print(
            f"{name:18} median {statistics.median(seconds):6.2f} processor s   best {min(seconds):6.2f}"
        )
    parts = [fit / (torch + 1.3 * second + 2) for torch, second, fit in rounds]
    print(f"afina fit takes {statistics.median(parts):.2f} of its goal (median of {N_FITS} rounds)")
    return statistics.median(parts) <= 1


def main() -> None:
    """Measure both; fail if `afina fit` misses its goal."""
    time_help()
    if not measure_fit():
        sys.exit(1)


if __name__ == "__main__":
    main()
