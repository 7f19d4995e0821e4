"""Fit and test one contender in its own process, with a time limit."""

import math
import multiprocessing
import resource
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

Figures = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """Work for one process, and its name."""

    name: Any
    work: Callable[[], Figures]


@dataclass
class _Started:
    task: Task
    process: BaseProcess
    results: Connection
    end: float = field(default=0.0)


def run_apart(tasks: Iterable[Task], *, limit_s: float, jobs: int) -> Iterator[tuple[Any, Figures]]:
    """Run each task in a fresh fork, `jobs` at a time; yield names and figures as they arrive.

    A task that raises, dies or takes longer than `limit_s` yields {"failure": reason}. The parent
    imports what all children need and never computes, so a fork is as good as a new process.
    """
    waiting = iter(tasks)
    running: list[_Started] = []
    while True:
        while len(running) < jobs and (task := next(waiting, None)) is not None:
            running.append(_start(task, limit_s))
        if not running:
            return
        left = max(0.0, min(one.end for one in running) - time.monotonic())
        wait([one.results for one in running], timeout=left)
        for one in [one for one in running if one.results.poll() or time.monotonic() > one.end]:
            running.remove(one)
            yield one.task.name, _finish(one, limit_s)


def _start(task: Task, limit_s: float) -> _Started:
    fork = multiprocessing.get_context("fork")
    results, to_parent = fork.Pipe(duplex=False)
    process = fork.Process(target=_child, args=(task.work, to_parent), daemon=True)
    process.start()
    to_parent.close()
    return _Started(task, process, results, time.monotonic() + limit_s)


def _child(work: Callable[[], Figures], to_parent: Connection) -> None:
    warnings.simplefilter("ignore")
    try:
        to_parent.send(work())
    except Exception as error:  # noqa: BLE001 - whatever a contender raises is its result
        lines = str(error).strip().splitlines() or [""]
        to_parent.send({"failure": f"{type(error).__name__}: {lines[0]}"[:200]})
    sys.stdout.flush()


def _finish(one: _Started, limit_s: float) -> Figures:
    figures: Figures = {"failure": f"took longer than {limit_s:.0f} s"}
    if one.results.poll():
        try:
            figures = one.results.recv()
        except EOFError:
            one.process.join()
            figures = {"failure": f"the process ended with code {one.process.exitcode}"}
    one.process.kill()
    one.process.join()
    one.results.close()
    return figures


def measure(
    fit: Callable[[], Callable[[pd.DataFrame], NDArray[Any]]], x_test: pd.DataFrame, threads: int
) -> tuple[NDArray[Any], Figures]:
    """Fit and predict; return the predictions, and time and memory."""
    with threadpool_limits(threads or None):  # for scikit-learn, which has no such argument
        before = reset_peak()
        start, start_cpu = time.perf_counter(), _cpu()
        predict = fit()
        fitted, fitted_cpu = time.perf_counter(), _cpu()
        prediction = predict(x_test)
        done = time.perf_counter()
    return prediction, {
        "fit_s": fitted - start,
        "fit_cpu_s": fitted_cpu - start_cpu,
        "predict_s": done - fitted,
        "memory_mb": (_status("VmHWM") - before) / 1e3,
    }


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def reset_peak() -> float:
    """Reset the peak memory of the process to its present use, in kB, where Linux allows it."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return math.nan
    return _status("VmRSS")


def _status(name: str) -> float:
    path = Path("/proc/self/status")
    lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
    return float(next((line.split()[1] for line in lines if line.startswith(name)), "nan"))


def score(
    task: str, y: pd.Series, prediction: NDArray[Any], classes: NDArray[Any] | None
) -> Figures:
    """Score predictions of test rows; see `Run` for the scores.

    Args:
        task: binary, multiclass or regression.
        y: the targets: numbers or labels.
        prediction: numbers, or probabilities (n, k).
        classes: the labels of the k columns.
    """
    from sklearn.metrics import root_mean_squared_error

    if not np.isfinite(prediction).all():
        return {"failure": "predictions are not finite"}
    if task == "regression" or classes is None:
        return {"rmse": float(root_mean_squared_error(y, prediction))}
    known = y.isin(classes).to_numpy()  # no contender can predict a label that no training row had
    truth = np.searchsorted(classes, y.to_numpy()[known].astype(classes.dtype))
    p = prediction[known]
    given = np.clip(p / p.sum(axis=1, keepdims=True), 1e-7, 1.0)[np.arange(len(p)), truth]
    return {
        "auc_error": 1.0 - auc(truth, p),
        "log_loss": float(-np.log(given).mean()),
        "acc_error": float((p.argmax(axis=1) != truth).mean()),
    }


def auc(truth: NDArray[Any], p: NDArray[Any]) -> float:
    """Return the area under the curve; for three classes or more, the mean of each against the rest.

    Classes that no test row has, or that all have, do not count.
    """
    from sklearn.metrics import roc_auc_score

    if p.shape[1] == 2:
        return float(roc_auc_score(truth == 1, p[:, 1]))
    here = [k for k in range(p.shape[1]) if 0 < (truth == k).sum() < len(truth)]
    return float(np.mean([roc_auc_score(truth == k, p[:, k]) for k in here]))
