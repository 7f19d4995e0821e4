"""One fit and test of one contender on one table: its figures, as a line of a CSV file."""

import csv
import math
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path

# What counts as the error of a task; the other scores are kept beside it.
SCORE = {"binary": "auc_error", "multiclass": "log_loss", "regression": "rmse"}


@dataclass(frozen=True)
class Run:
    """Figures of one run; a score that the task does not have is NaN.

    Args:
        contender: who was fitted.
        table: the table's name.
        task: binary, multiclass or regression.
        seed: seed of the split and of the contender.
        auc_error: 1 - AUC; the mean over the classes, each against the rest, where there are more.
        log_loss: nats a row, probabilities clipped to 1e-7.
        acc_error: 1 - accuracy.
        rmse: in the target's units.
        fit_s: wall-clock seconds from the raw frame to the fitted model.
        fit_cpu_s: processor seconds of the same, over all threads.
        predict_s: wall-clock seconds from the raw test frame to the predictions.
        memory_mb: peak of the resident memory above what the process held before the fit, in MB.
        threads: how many the contender was given; 0 is its own default.
        failure: why there are no scores; empty if there are.
        versions: of what was measured.
        hardware: where it ran.
        date: when, as 2026-11-23.
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
        """The error that its task is judged by; a failed run's is infinite."""
        return math.inf if self.failure else float(getattr(self, SCORE[self.task]))


def versions(packages: Iterable[str]) -> str:
    """Name packages with their versions, as `catboost 1.2.10`."""
    return " ".join(f"{name} {version(name)}" for name in packages)


def hardware() -> str:
    """Describe this machine: cores and memory, no name."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} {platform.machine()} cores {memory:.0f} GiB"


def read_runs(path: Path) -> list[Run]:
    """Read what `write_runs` wrote; no file is no runs."""
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
    """Put new runs in the place of old ones of the same contender, table and seed."""
    by_key = {(run.contender, run.table, run.seed): run for run in [*old, *new]}
    return list(by_key.values())


def _cell(value: object) -> object:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return value
