"""Compare afina with scikit-learn's MLP and gradient boosting on public tables, at defaults.

Each table is split by a fixed seed into four fifths for fitting and a fifth for testing; every
contender sees the same rows of one data frame, at its own defaults, one after another in one
process. Error: 1 - AUC (two classes), log-loss (more), RMSE (numbers): lower is better. Times are
of this machine and only their ratios mean anything.

Peers get the preparation their documentation asks for: gradient boosting takes categories as
pandas categories and missing values as they are; the MLP gets median imputation, standardization
and one-hot columns. Dates become numbers for both.

    pip install '.[bench]'
    python bench/tables.py [--tables modeldata/credit_data ...] [--seeds 3] [--out FILE.md]
"""

import argparse
import json
import os
import platform
import time
import tomllib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn
import torch
from public_tables import TABLES, PublicTable, split
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.metrics import log_loss, roc_auc_score, root_mean_squared_error
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import afina

DEFAULT = (
    "modeldata/credit_data",
    "modeldata/attrition",
    "modeldata/wa_churn",
    "modeldata/hpc_data",
    "carData/Chile",
    "modeldata/ames",
    "ISLR/Wage",
    "dslabs/gapminder",
)

Make = Callable[[bool, int], Any]


def afina_default(classes: bool, seed: int) -> Any:
    return (afina.AfinaClassifier if classes else afina.AfinaRegressor)(random_state=seed)


def gradient_boosting(classes: bool, seed: int) -> Any:
    kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    return kind(categorical_features="from_dtype", random_state=seed)


def sklearn_mlp(classes: bool, seed: int) -> Any:
    numbers = make_column_selector(dtype_include="number")
    prepare = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        remainder=OneHotEncoder(handle_unknown="ignore"),
    )
    return make_pipeline(prepare, (MLPClassifier if classes else MLPRegressor)(random_state=seed))


CONTENDERS: dict[str, Make] = {
    "afina": afina_default,
    "HistGradientBoosting": gradient_boosting,
    "sklearn MLP": sklearn_mlp,
}


def variant(text: str) -> Make:
    """Make afina with settings other than the default: `init=torch,dropout=0.2`."""
    settings = tomllib.loads("\n".join(quote(pair) for pair in text.split(",")))

    def make(classes: bool, seed: int) -> Any:
        return afina_default(classes, seed).set_params(**settings)

    return make


def quote(pair: str) -> str:
    """Write `key=value` as TOML, where a bare word is a string."""
    key, value = pair.split("=")
    return f'{key}="{value}"' if value.isidentifier() else pair


def peer_frame(x: pd.DataFrame) -> pd.DataFrame:
    """Write dates as numbers and text as categories, for the peers."""
    x = x.copy()
    for name in x.columns:
        if pd.api.types.is_datetime64_any_dtype(x[name]):
            x[name] = x[name].astype("int64") / 1e9
        elif pd.api.types.is_bool_dtype(x[name]):
            x[name] = x[name].astype(float)
        elif not pd.api.types.is_numeric_dtype(x[name]):
            text = x[name].astype("string")
            top = text.value_counts().index[:254]  # gradient boosting takes 255 at most
            kept = text.where(text.isin(top) | text.isna(), "(other)").astype(object)
            x[name] = kept.where(text.notna(), np.nan).astype("category")
    return x


def measure(make: Make, table: PublicTable, parts: Any, seed: int) -> dict[str, float]:
    """Fit and test one contender."""
    x_train, x_test, y_train, y_test = parts
    classes = table.task != "regression"
    model = make(classes, seed)
    start = time.perf_counter()
    model.fit(x_train, y_train)
    fitted = time.perf_counter()
    prediction = model.predict_proba(x_test) if classes else model.predict(x_test)
    done = time.perf_counter()
    if table.task == "regression":
        error = root_mean_squared_error(y_test, prediction)
    elif table.task == "binary":
        error = 1 - roc_auc_score(y_test == model.classes_[1], prediction[:, 1])
    else:
        known = y_test.isin(model.classes_)
        error = log_loss(y_test[known], prediction[known.to_numpy()], labels=model.classes_)
    return {"error": float(error), "fit_s": fitted - start, "predict_s": done - fitted}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="*", default=DEFAULT)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=tuple(CONTENDERS))
    parser.add_argument("--variant", nargs="*", default=[], help="afina with, such as init=torch")
    parser.add_argument("--out", type=Path, help="also write the table as Markdown")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    by_name = {t.name: t for t in TABLES}
    contenders = {name: CONTENDERS[name] for name in args.only}
    contenders |= {f"afina {text}": variant(text) for text in args.variant}
    results: dict[str, dict[str, list[dict[str, float]]]] = {}
    for table_name in args.tables:
        table = by_name[table_name]
        x, y = table.load()
        as_category = peer_frame(x)
        rows: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
        for seed in range(args.seeds):
            for name, make in contenders.items():
                frame = x if name.startswith("afina") else as_category
                rows[name].append(measure(make, table, split(frame, y, table.task, seed), seed))
        results[table_name] = rows
        print(line(table_name, table, len(x), rows), flush=True)
    text = summary(results, by_name)
    print("\n" + text)
    if args.out:
        args.out.write_text(text + "\n")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


def median(runs: list[dict[str, float]], key: str) -> float:
    return float(np.median([run[key] for run in runs]))


def line(name: str, table: PublicTable, n: int, rows: dict[str, list[dict[str, float]]]) -> str:
    figures = "  ".join(
        f"{who} {median(runs, 'error'):.4f} in {median(runs, 'fit_s'):.1f} s"
        for who, runs in rows.items()
    )
    return f"{name} ({table.task}, {n} rows): {figures}"


def summary(results: dict[str, Any], by_name: dict[str, PublicTable]) -> str:
    """Lay the medians over seeds out as Markdown."""
    names = list(next(iter(results.values())))
    how = (
        f"torch {torch.__version__}, scikit-learn {sklearn.__version__}, {os.cpu_count()} cores, "
        f"{platform.machine()}; medians over seeds; error: 1 - AUC, log-loss or RMSE (lower is "
        f"better); time: fit, as a ratio to that of {names[0]} in the same run."
    )
    header = ["table", "task", *(f"{n} error" for n in names), *(f"{n} time" for n in names)]
    lines = [how, "", f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    wins = dict.fromkeys(names, 0)
    for table, rows in results.items():
        errors = {n: median(rows[n], "error") for n in names}
        best = min(errors, key=lambda n: errors[n])
        wins[best] += 1
        base = median(rows[names[0]], "fit_s")
        cells = [f"**{errors[n]:.4g}**" if n == best else f"{errors[n]:.4g}" for n in names]
        times = [f"{median(rows[n], 'fit_s') / base:.2f}" for n in names]
        lines.append(f"| {table} | {by_name[table].task} | {' | '.join(cells + times)} |")
    lines += ["", "Best on: " + ", ".join(f"{n} {wins[n]}" for n in names) + "."]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
