"""Measure the time to predict one row, and the rows per second, of afina and two peers.

    python bench/predict.py [--tables modeldata/credit_data modeldata/ames] [--threads 1]

All are fitted on the same rows, afina with its defaults except for fewer epochs, which do not
affect the time of a prediction. One row: contenders alternate after a few rows each, once as fast
as possible, once with other work in between. The peers get rows in the form they require, prepared
before the clock starts: a frame with numbers and categories separated, and for CatBoost also a
plain list. afina gets raw rows. 100,000 rows: the rows of the table, repeated; afina's time
includes reading the frame.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from peers import PEERS, FitData
from public_tables import TABLES, PublicTable
from threadpoolctl import threadpool_limits

import afina

N_MANY = 100_000
N_OTHER = 1 << 23  # 64 MiB
DEFAULT = ("modeldata/credit_data", "modeldata/ames")
Call = Callable[[int], object]
"""Predicts the row with the given number."""


def fit_afina(table: PublicTable, x: pd.DataFrame, y: pd.Series, n_epochs: int) -> Any:
    """Fit the estimator of the table's task."""
    numbers = table.task == "regression"
    kind = afina.AfinaRegressor if numbers else afina.AfinaClassifier
    return kind(max_epochs=n_epochs, random_state=0).fit(x, y)


def afina_calls(model: Any, x: pd.DataFrame, n_rows: int) -> dict[str, Call]:
    """Return the ways to predict one row: from a mapping, and from frames with one row."""
    predictor = model.predictor_
    rows = [dict(x.iloc[i]) for i in range(n_rows)]
    frames = [x.iloc[[i]] for i in range(n_rows)]
    columns = [{name: [cell] for name, cell in row.items()} for row in rows]
    return {
        "afina, predict_row": lambda i: predictor.predict_row(rows[i]),
        "afina, predict of a pandas frame": lambda i: predictor.predict(frames[i]),
        "afina, the estimator's predict": lambda i: model.predict(frames[i]),
        "afina, the table's way": lambda i: predictor.predict(columns[i]),
    }


def peer_calls(
    x: pd.DataFrame, y: np.ndarray, *, classes: bool, threads: int, n_rows: int
) -> tuple[dict[str, Call], dict[str, Callable[[pd.DataFrame], float]]]:
    """Fit the installed peers; return their ways to predict one row, and many."""
    data = FitData(x, y, classes, 0, threads)
    one: dict[str, Call] = {}
    many: dict[str, Callable[[pd.DataFrame], float]] = {}
    for name in ("sklearn MLP", "CatBoost"):
        try:
            ask, prepare = PEERS[name].fit(data).args
        except ImportError:
            print(f"{name} is not installed")
            continue
        options = {"thread_count": threads} if name == "CatBoost" else {}
        ready = prepare(x.iloc[:n_rows])
        frames = [ready.iloc[[i]] for i in range(n_rows)]
        one[f"{name}, a frame"] = lambda i, ask=ask, frames=frames, options=options: ask(
            frames[i], **options
        )
        if name == "CatBoost":
            lists = [ready.iloc[i].tolist() for i in range(n_rows)]
            one["CatBoost, a list"] = lambda i, ask=ask, lists=lists: ask(lists[i], thread_count=1)

        def seconds(
            big: pd.DataFrame, ask: Any = ask, prepare: Any = prepare, o: Any = options
        ) -> float:
            rows = prepare(big)
            started = time.perf_counter()
            ask(rows, **o)
            return time.perf_counter() - started

        many[name] = seconds
    return one, many


def time_rows(
    calls: dict[str, Call], n_rows: int, n_rounds: int, *, cold: bool
) -> dict[str, float]:
    """Return the median microseconds per row; contenders alternate, so that load affects all.

    Args:
        cold: before each row, write enough memory to evict everything else from the processor's caches.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    other = np.zeros(N_OTHER)
    n_in_turn = 5 if cold else 20
    for number in range(n_rounds):
        for name, call in calls.items():
            for at in range(n_in_turn):
                if cold:
                    other += 1.0
                started = time.perf_counter()
                call((number * n_in_turn + at) % n_rows)
                took = time.perf_counter() - started
                if at:  # the first row of each turn is not counted
                    times[name].append(took * 1e6)
    return {name: statistics.median(microseconds) for name, microseconds in times.items()}


def time_many(model: Any, x: pd.DataFrame, n_times: int, peers: Any) -> dict[str, float]:
    """Return rows per second, the median of `n_times` runs."""
    big = x.iloc[np.arange(N_MANY) % len(x)].reset_index(drop=True)

    def ours(rows: pd.DataFrame) -> float:
        started = time.perf_counter()
        model.predict(rows)
        return time.perf_counter() - started

    contenders = {"afina": ours, **peers}
    seconds_by_name: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(n_times):
        for name, seconds in contenders.items():
            seconds_by_name[name].append(seconds(big))
    return {name: N_MANY / statistics.median(times) for name, times in seconds_by_name.items()}


def run(table: PublicTable, options: argparse.Namespace) -> None:
    """Fit all contenders on one table and print their times."""
    x, target = table.load()
    numbers = table.task == "regression"
    y = target.to_numpy() if numbers else np.unique(target, return_inverse=True)[1]
    model = fit_afina(table, x, target, options.epochs)
    n_parameters = sum(p.numel() for p in model.predictor_.model.parameters())
    print(
        f"\n{table.name}: {len(x)} x {x.shape[1]}, {model.members} members, {n_parameters} numbers"
    )
    with threadpool_limits(options.threads):
        torch.set_num_threads(options.threads)
        n_rows = min(len(x), 500)
        one, many = peer_calls(x, y, classes=not numbers, threads=options.threads, n_rows=n_rows)
        calls = afina_calls(model, x, n_rows) | one
        warm = time_rows(calls, n_rows, options.rounds, cold=False)
        cold = time_rows(calls, n_rows, options.rounds, cold=True)
        for name in calls:
            ratio = warm[name] / warm["afina, predict_row"]
            print(
                f"  {name:34}{warm[name]:7.0f} us per row ({ratio:.1f}), cold {cold[name]:7.0f} us"
            )
        for name, speed in time_many(model, x, options.times, many).items():
            print(f"  {name:34}{speed:7.0f} rows per second")


def main() -> None:
    """Read the options and run the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", nargs="*", default=list(DEFAULT))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for table in TABLES:
        if table.name in options.tables and table.half == "develop":
            run(table, options)


if __name__ == "__main__":
    main()
