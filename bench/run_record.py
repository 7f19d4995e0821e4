"""The figures of one fit and test of one contender on one table, as a line of a CSV file."""

import csv
import math
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path

# The error of each task; the other scores are recorded as well.
SCORE = {"binary": "auc_error", "multiclass": "log_loss", "regression": "rmse"}


@dataclass(frozen=True)
class Run:
    """Figures of one run; scores of other tasks are NaN.

    Args:
        contender: the name of what was fitted.
        table: the table's name.
        task: binary, multiclass or regression.
        seed: seed of the split and of the contender.
        auc_error: 1 - AUC; with more than two classes, the mean of each against the rest.
        log_loss: nats per row, probabilities clipped to 1e-7.
        acc_error: 1 - accuracy.
        rmse: in the target's units.
        fit_s: wall-clock seconds from the raw frame to the fitted model.
        fit_cpu_s: processor seconds of the same, over all threads.
        predict_s: wall-clock seconds from the raw test frame to the predictions.
        memory_mb: peak resident memory minus that before the fit, in MB.
        threads: number of threads; 0 means the contender's default.
        failure: why there are no scores; empty if there are some.
        versions: versions of the packages measured.
        hardware: the machine.
        date: the day, as 2026-11-23.
    """

    contender: str
    table: str
    task: str
    seed: int
    auc_error: float = math.nan
    log_loss: float = math.nan
    acc_error: float = math.nan
    rmse: float = math.nan
    fit_s: float = math.nan
    fit_cpu_s: float = math.nan
    predict_s: float = math.nan
    memory_mb: float = math.nan
    threads: int = 0
    failure: str = ""
    versions: str = ""
    hardware: str = ""
    date: str = ""

    @property
    def error(self) -> float:
        """The error of the task; infinite for a failed run."""
        return math.inf if self.failure else float(getattr(self, SCORE[self.task]))


def versions(packages: Iterable[str]) -> str:
    """Return packages with their versions, as `catboost 1.2.10`."""
    return " ".join(f"{name} {version(name)}" for name in packages)


def hardware() -> str:
    """Describe this machine by cores and memory, without its name."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} {platform.machine()} cores {memory:.0f} GiB"


def read_runs(path: Path) -> list[Run]:
    """Read what `write_runs` wrote; a missing file means no runs."""
    if not path.exists():
        return []
    kinds = {field.name: field.type for field in fields(Run)}
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Run(
                **{
                    key: kinds[key](cell or "nan" if kinds[key] is float else cell)
                    for key, cell in row.items()
                }
            )
            for row in csv.DictReader(file)
        ]


def write_runs(path: Path, runs: Iterable[Run]) -> None:
    """Write runs in the order of contender, table and seed."""
    ordered = sorted(runs, key=lambda run: (run.contender, run.table, run.seed))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Run)], lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _cell(v) for key, v in asdict(run).items()} for run in ordered)


def merge(old: Iterable[Run], new: Iterable[Run]) -> list[Run]:
    """Replace old runs by new ones of the same contender, table and seed."""
    by_key = {(run.contender, run.table, run.seed): run for run in [*old, *new]}
    return list(by_key.values())


def _cell(value: object) -> object:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return value
