"""Compare contenders: medians over seeds, wins, ranks and distances to the best."""

import math
from collections.abc import Sequence
from statistics import median

import numpy as np
from run_record import SCORE, Run

Errors = dict[str, dict[str, float]]  # table -> contender -> error


def names_of(runs: Sequence[Run]) -> list[str]:
    """Return the contenders in order of appearance."""
    return list(dict.fromkeys(run.contender for run in runs))


def error_of(run: Run, by: str) -> float:
    """Return the error of the task, or the score that `by` names; NaN if there is none."""
    if by == "error" or run.failure:
        return run.error
    return float(getattr(run, by))


def median_errors(runs: Sequence[Run], names: Sequence[str], by: str = "error") -> Errors:
    """Return medians over the seeds that all of `names` ran, on the tables that all of them ran.

    A failed run is infinitely bad. Common seeds mean that all are compared on the same splits.
    """
    tables = dict.fromkeys(run.table for run in runs)
    errors: Errors = {}
    for table in tables:
        if math.isnan(error_of(next(run for run in runs if run.table == table), by)):
            continue  # a score that the task does not have
        by_name = {
            name: {
                r.seed: error_of(r, by) for r in runs if r.table == table and r.contender == name
            }
            for name in names
        }
        seeds = set.intersection(*(set(each) for each in by_name.values()))
        if seeds:
            errors[table] = {
                name: median(each[seed] for seed in seeds) for name, each in by_name.items()
            }
    return errors


def complete(runs: Sequence[Run]) -> list[str]:
    """Return the contenders that ran on every table."""
    tables = {run.table for run in runs}
    return [
        name
        for name in names_of(runs)
        if {run.table for run in runs if run.contender == name} == tables
    ]


def wins(errors: Errors, one: str, other: str) -> float:
    """Count the tables on which `one` has the smaller error; a tie is half a win."""
    pairs = [(table[one], table[other]) for table in errors.values()]
    return sum(1.0 if a < b else 0.5 if a == b else 0.0 for a, b in pairs)


def mean_ranks(errors: Errors) -> dict[str, float]:
    """Return each contender's mean rank over tables, 1 for the best; ties share a rank."""
    ranks: dict[str, list[float]] = {}
    for table in errors.values():
        for name, error in table.items():
            below = sum(other < error for other in table.values())
            equal = sum(other == error for other in table.values())
            ranks.setdefault(name, []).append(below + (equal + 1) / 2)
    return {name: sum(each) / len(each) for name, each in ranks.items()}


def mean_distances(errors: Errors) -> dict[str, float]:
    """Return each contender's mean relative distance to the best error, at most 1 per table."""
    distances: dict[str, list[float]] = {}
    for table in errors.values():
        best = min(table.values())
        for name, error in table.items():
            distances.setdefault(name, []).append(distance(error, best))
    return {name: sum(each) / len(each) for name, each in distances.items()}


def distance(error: float, best: float) -> float:
    """Return error / best - 1, from 0 to 1."""
    if error == best:
        return 0.0
    return 1.0 if best == 0 else min(1.0, error / best - 1.0)


def error_ratio(errors: Errors, one: str, other: str) -> tuple[float, float, float]:
    """Return the geometric mean over tables of the error of `one` divided by that of `other`.

    Ratios are clipped to 1/2 to 2, so that no table decides alone.

    Returns:
        The ratio, and the ends of its 95 % interval (bootstrap over tables, fixed seed).
    """
    logs = [_log_ratio(table[one], table[other]) for table in errors.values()]
    drawn = np.random.default_rng(0).choice(logs, (10_000, len(logs))).mean(axis=1)
    low, high = np.exp(np.quantile(drawn, [0.025, 0.975]))
    return float(np.exp(np.mean(logs))), float(low), float(high)


def _log_ratio(one: float, other: float) -> float:
    if one == other:
        return 0.0
    ratio = math.inf if other == 0 or math.isinf(one) else one / other
    return math.log(min(2.0, max(0.5, ratio)))


def bests(errors: Errors) -> dict[str, int]:
    """Count the tables on which each contender is the best."""
    best = [min(table, key=lambda name: table[name]) for table in errors.values()]
    return {name: best.count(name) for name in next(iter(errors.values()), {})}


def median_of(runs: Sequence[Run], table: str, name: str, key: str) -> float:
    """Return the median of a figure over the seeds of a contender on a table; NaN if none."""
    mine = [r for r in runs if (r.table, r.contender) == (table, name) and not r.failure]
    values = [float(getattr(run, key)) for run in mine]
    return median(values) if values else math.nan


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean of the positive values; others, such as NaN, are skipped."""
    known = [value for value in values if value > 0]
    return math.exp(sum(map(math.log, known)) / len(known)) if known else math.nan


def score_name(task: str) -> str:
    """Return the common name of the error of a task."""
    return {"auc_error": "1 - AUC", "log_loss": "log-loss", "rmse": "RMSE"}[SCORE[task]]
