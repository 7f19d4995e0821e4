"""Fit synthetic tables with one difficulty each, and compare the error with that of two peers.

    python bench/regimes.py [--seeds 2] [--only NAME,NAME] [--settings NAME=VALUE,...]

Real tables mix difficulties, and there are few of them. Here, each table has a single one:
categories of many levels, codes that look like numbers, rows that repeat, rare classes, a drift,
steps, waves, noise. So a recipe that fails on one kind of table is noticed before a user meets it.
Every contender runs with its defaults, on one thread, and gets categories as categories. Errors are
log-loss or RMSE on 20,000 other rows, as ratios to afina's: above 1, afina is better. Times are
processor seconds of a fit.
"""

import argparse
import math
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from sklearn.metrics import log_loss

Floats = NDArray[np.float64]
N_TEST = 20_000


def frame(x: Floats, **more: Any) -> pd.DataFrame:
    """Name the columns of numbers, and add others."""
    return pd.DataFrame(x, columns=[f"x{i}" for i in range(x.shape[1])]).assign(**more)


def coin(r: Generator, logit: Floats) -> NDArray[np.int64]:
    """Draw classes 0 and 1."""
    return (r.random(len(logit)) < 1 / (1 + np.exp(-logit))).astype(np.int64)


def names(letter: str, codes: NDArray[np.int64]) -> list[str]:
    return [f"{letter}{code}" for code in codes]


def zipf(r: Generator, n_levels: int, n: int, power: float) -> NDArray[np.int64]:
    """Draw levels, a few of them frequent and many of them rare."""
    share = 1 / np.arange(1, n_levels + 1) ** power
    return r.choice(n_levels, n, p=share / share.sum())


def effects(seed: int, n: int, scale: float = 1.0) -> Floats:
    """Draw the effect of each level; the same in training and test."""
    return default_rng(seed).normal(size=n) * scale


def levels_300(r: Generator, n: int) -> tuple[pd.DataFrame, Any]:
    city, x, of = zipf(r, 300, n, 0.8), r.normal(size=(n, 5)), effects(1, 300)
    logit = of[city] + 0.8 * x[:, 0] + np.maximum(x[:, 1], 0) + 0.5 * x[:, 2] * (of[city] > 0)
    return frame(x, city=names("c", city), kind=r.choice(list("abcd"), n)), coin(r, logit - 0.5)


def levels_2000(r: Generator, n: int) -> tuple[pd.DataFrame, Any]:
    city, x, of = zipf(r, 2000, n, 0.8), r.normal(size=(n, 5)), effects(1, 2000)
    y = of[city] + 0.8 * x[:, 0] + np.maximum(x[:, 1], 0) + 0.5 * x[:, 2] * (of[city] > 0)
    return frame(x, city=names("c", city)), y + 0.7 * r.normal(size=n)


def codes(r: Generator, n: int) -> tuple[pd.DataFrame, Any]:
    zip_code, x = r.integers(0, 200, n), r.normal(size=(n, 4))
    y = effects(3, 200)[zip_code] + x[:, 0] + 0.5 * x[:, 1] ** 2 + 0.5 * r.normal(size=n)
    return frame(x, zip=zip_code + 10_000), y


def combinations(r: Generator, n: int, *sizes: int) -> tuple[pd.DataFrame, Any]:
    """A few categories with main and pairwise effects: rows repeat with different targets."""
    fixed = default_rng(5)
    main = [0.6 * fixed.normal(size=size) for size in sizes]
    shares = [fixed.dirichlet(np.full(size, 2.0)) for size in sizes]
    code = [r.choice(size, n, p=share) for size, share in zip(sizes, shares, strict=True)]
    logit = sum((of[c] for of, c in zip(main, code, strict=True)), np.full(n, -0.3))
    for i, one in enumerate(sizes):
        for j, other in enumerate(sizes[:i]):
            logit = logit + 0.35 * fixed.normal(size=(one, other))[code[i], code[j]]
    return pd.DataFrame({f"c{i}": names("v", c) for i, c in enumerate(code)}), coin(r, logit)


def census(r: Generator, n: int) -> tuple[pd.DataFrame, Any]:
    """A weak effect of a few whole numbers and flags, over many rows."""
    age, mark = r.integers(21, 36, n), r.random((n, 5)) < [0.51, 0.51, 0.05, 0.07, 0.06]
    some = np.where(r.random(n) < 0.4, 52, r.integers(1, 52, n))
    weeks = np.where(r.random(n) < 0.47, 0, some)
    logit = -0.5 + 0.06 * (age - 30) - 0.012 * weeks * (1 + 0.3 * mark[:, 2])
    logit += 0.25 * (mark[:, 0] == mark[:, 1]) + 0.3 * mark[:, 2] + 0.6 * mark[:, 3]
    logit += -0.004 * (age - 28) ** 2 + 0.15 * np.sin(age) * mark[:, 4]
    marks = {f"m{i}": np.where(mark[:, i], "yes", "no") for i in range(5)}
    return pd.DataFrame({"age": age, "weeks": weeks} | marks), coin(r, logit)


def copies(r: Generator, n: int) -> tuple[pd.DataFrame, Any]:
    """Rows that occur five times each, as after oversampling."""
    x = r.normal(size=(n // 5, 8))
    y = coin(r, x[:, 0] * x[:, 1] + x[:, 2])
    which = r.integers(0, len(x), n)
    return frame(x[which]), y[which]


def rare(r: Generator, n: int) -> tuple[pd.DataFrame, Any]:
    x = r.normal(size=(n, 12))
    return frame(x), coin(r, -5.2 + 1.2 * x[:, 0] + x[:, 1] * x[:, 2] + np.abs(x[:, 3]))


def noise_columns(r: Generator, n: int) -> tuple[pd.DataFrame, Any]:
    x = r.normal(size=(n, 100))
    y = x[:, 0] * x[:, 1] + 2 * np.sin(x[:, 2]) + x[:, 3] + (x[:, 4] > 0)
    return frame(x), y + 0.5 * r.normal(size=n)


def wide(r: Generator, n: int) -> tuple[pd.DataFrame, Any]:
    x = r.normal(size=(n, 400))
    return frame(x), coin(r, 0.6 * x @ effects(2, 400, 0.25) + x[:, 0] * (x[:, 1] > 0))


def heavy_tails(r: Generator, n: int) -> tuple[pd.DataFrame, Any]:
    x = r.standard_t(1.5, size=(n, 6))
    y = 1 + 0.6 * np.tanh(x[:, 0]) + 0.5 * np.tanh(x[:, 1] * x[:, 2]) + 0.4 * (x[:, 3] > 1)
    return frame(x), np.exp(y + 0.5 * r.normal(size=n))


def counts(r: Generator, n: int) -> tuple[pd.DataFrame, Any]:
    x = r.gamma(1.5, 1, size=(n, 6))
    mean = np.exp(-0.5 + 0.5 * np.log1p(x[:, 0]) + 0.6 * np.sin(x[:, 1]) + 0.3 * (x[:, 2] > 2))
    return frame(x), r.poisson(mean) * (r.random(n) < 0.6 + 0.3 * (x[:, 3] > 1)) * 1.0


def missing(r: Generator, n: int) -> tuple[pd.DataFrame, Any]:
    x = r.normal(size=(n, 10))
    logit = x[:, 0] + x[:, 1] * x[:, 2] - 0.5 * x[:, 3]
    hidden = r.random((n, 10)) < 0.25
    hidden[:, 4] = r.random(n) < 1 / (1 + np.exp(-logit))
    return frame(np.where(hidden, np.nan, x)), coin(r, logit)


def parity(r: Generator, n: int) -> tuple[pd.DataFrame, Any]:
    b, x = r.random((n, 8)) < 0.5, r.normal(size=(n, 3))
    marks = {f"b{i}": np.where(b[:, i], "yes", "no") for i in range(8)}
    return frame(x, **marks), coin(r, 5.0 * (b[:, 0] ^ b[:, 1] ^ b[:, 2]) - 2.5 + x[:, 0])


def waves(r: Generator, n: int) -> tuple[pd.DataFrame, Any]:
    hour, day, x = r.integers(0, 24, n), r.integers(1, 366, n), r.normal(size=(n, 5))
    year = 2 * np.pi * day / 365
    y = 12 * np.sin(year - 1.9) + 4 * np.sin(np.pi * (hour - 9) / 12) * (1 + 0.4 * np.sin(year))
    y += 2 * x[:, 0] * np.sin(day / 9) + x[:, 1] * x[:, 2]
    return frame(x, hour=hour, day=day), y + r.normal(size=n)


def smooth(r: Generator, n: int) -> tuple[pd.DataFrame, Any]:
    x = r.uniform(-2, 2, size=(n, 8))
    y = np.sin(2 * x[:, 0]) + 0.5 * x[:, 1] ** 2 + np.abs(x[:, 2]) + 0.5 * x[:, 3] * x[:, 4]
    return frame(x), y + 1.5 * r.normal(size=n)


def linear(r: Generator, n: int) -> tuple[pd.DataFrame, Any]:
    x = r.normal(size=(n, 10))
    return frame(x), x @ np.linspace(0, 1, 10) + r.normal(size=n)


def classes_20(r: Generator, n: int) -> tuple[pd.DataFrame, Any]:
    centers, y = default_rng(4).normal(size=(20, 12)), zipf(r, 20, n, 0.7)
    return frame(centers[y] + r.normal(size=(n, 12)) * (1 + 0.3 * np.sin(y)[:, None])), y


def delays(r: Generator, n: int) -> tuple[pd.DataFrame, Any]:
    x, to, hour = r.normal(size=(n, 10)), zipf(r, 100, n, 0.9), r.integers(0, 24, n)
    y = 3 * (hour > 15) * np.maximum(x[:, 0], 0) + x[:, 1] * x[:, 2] + np.exp(0.5 * x[:, 4])
    y += effects(5, 100, 0.5)[to] * (1 + x[:, 3])
    return frame(x, hour=hour, to=names("d", to)), y + 3 * r.standard_t(4, size=n)


def drift(r: Generator, n: int) -> tuple[pd.DataFrame, Any]:
    t, x, city = np.sort(r.uniform(0, 10, n)), r.normal(size=(n, 6)), r.choice(30, n)
    walk = np.cumsum(default_rng(7).normal(size=200))[(19.9 * t).astype(int)]
    y = 10 * effects(6, 30)[city] + 0.8 * walk + 2 * np.sin(2 * np.pi * t) + x[:, 0]
    return frame(x, t=t, city=names("s", city)), y + 0.5 * r.normal(size=n)


def questionnaire(r: Generator, n: int) -> tuple[pd.DataFrame, Any]:
    """Twenty questions with replies from 1 to 5, which depend on three traits."""
    trait = r.normal(size=(n, 3))
    said = 3 + 1.1 * trait @ default_rng(8).normal(size=(3, 20)) + 0.8 * r.normal(size=(n, 20))
    y = coin(r, 1.2 * trait[:, 0] - trait[:, 1] * trait[:, 2])
    return frame(np.clip(np.round(said), 1, 5)), y


def steps(r: Generator, n: int) -> tuple[pd.DataFrame, Any]:
    x = r.normal(size=(n, 10))
    one = 2 * (x[:, 1] > 0) + 3 * (x[:, 2] > 0.5) * (x[:, 5] < 0)
    two = -3 * (x[:, 3] > 0.5) + 1.5 * (x[:, 4] > 0) * (x[:, 6] > 0)
    return frame(x), np.where(x[:, 0] > 0.3, one, two) + 0.3 * r.normal(size=n)


def mixtures(r: Generator, n: int) -> tuple[pd.DataFrame, Any]:
    """A few mixtures, each measured at several ages and with its own effect."""
    fixed = default_rng(9)
    amounts, own = fixed.uniform(0, 1, (251, 7)), fixed.normal(size=251)
    which, age = r.integers(0, 251, n), r.choice([3, 7, 28, 56, 90], n)
    x = amounts[which]
    y = (2 * x[:, 0] + x[:, 1] * x[:, 2] + 0.3 * own[which] - x[:, 3]) * np.log(age)
    return frame(x, age=age), y + 0.4 * r.normal(size=n)


@dataclass(frozen=True)
class Regime:
    """A synthetic table: how it is made, its training rows, and whether its target is a number."""

    make: Callable[[Generator, int], tuple[pd.DataFrame, Any]]
    n_rows: int
    regression: bool = False


def pairs(*sizes: int) -> Callable[[Generator, int], tuple[pd.DataFrame, Any]]:
    return lambda r, n: combinations(r, n, *sizes)


REGIMES = {
    "300 levels": Regime(levels_300, 6_000),
    "2000 levels": Regime(levels_2000, 20_000, regression=True),
    "codes": Regime(codes, 8_000, regression=True),
    "60 combinations": Regime(pairs(3, 4, 5), 5_000),
    "120 combinations": Regime(pairs(2, 3, 4, 5), 600),
    "2160 combinations": Regime(pairs(2, 3, 4, 5, 6, 3), 20_000),
    "census, 5k": Regime(census, 5_000),
    "census, 200k": Regime(census, 200_000),
    "copies": Regime(copies, 5_000),
    "rare class": Regime(rare, 15_000),
    "noise columns": Regime(noise_columns, 2_500, regression=True),
    "400 columns": Regime(wide, 400),
    "heavy tails": Regime(heavy_tails, 4_000, regression=True),
    "counts": Regime(counts, 6_000, regression=True),
    "missing cells": Regime(missing, 5_000),
    "parity": Regime(parity, 4_000),
    "waves": Regime(waves, 20_000, regression=True),
    "smooth": Regime(smooth, 2_000, regression=True),
    "linear": Regime(linear, 300, regression=True),
    "20 classes": Regime(classes_20, 3_000),
    "delays": Regime(delays, 150_000, regression=True),
    "drift": Regime(drift, 8_000, regression=True),
    "questionnaire": Regime(questionnaire, 2_000),
    "steps": Regime(steps, 2_500, regression=True),
    "mixtures": Regime(mixtures, 1_000, regression=True),
}


def make_model(name: str, x: pd.DataFrame, seed: int, regression: bool, settings: dict) -> Any:
    """Make a contender with its defaults; afina with settings."""
    if name == "afina":
        from afina import AfinaClassifier, AfinaRegressor

        return (AfinaRegressor if regression else AfinaClassifier)(random_state=seed, **settings)
    if name == "CatBoost":
        from catboost import CatBoostClassifier, CatBoostRegressor

        words = [c for c in x.columns if not pd.api.types.is_numeric_dtype(x[c])]
        return (CatBoostRegressor if regression else CatBoostClassifier)(
            verbose=0,
            thread_count=1,
            cat_features=words,
            random_seed=seed,
            allow_writing_files=False,
        )
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    boosting = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    return boosting(categorical_features="from_dtype", random_state=seed)


def as_categories(train: pd.DataFrame, test: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Turn text into pandas categories of at most 254 levels, for HistGradientBoosting."""
    for name in train.columns:
        if not pd.api.types.is_numeric_dtype(train[name]):
            levels = train[name].value_counts().index[:254]
            train = train.assign(**{name: pd.Categorical(train[name], levels)})
            test = test.assign(**{name: pd.Categorical(test[name], levels)})
    return train, test


def measure(contender: str, regime: Regime, seed: int, settings: dict) -> tuple[float, float]:
    """Return the error on other rows and the processor seconds of the fit."""
    x, y = regime.make(default_rng(seed), regime.n_rows)
    x_test, y_test = regime.make(default_rng(seed + 1000), N_TEST)
    if contender == "HistGradientBoosting":
        x, x_test = as_categories(x, x_test)
    model = make_model(contender, x, seed, regime.regression, settings)
    start = time.process_time()
    model.fit(x, y)
    seconds = time.process_time() - start
    if regime.regression:
        return float(np.sqrt(np.mean((model.predict(x_test) - y_test) ** 2))), seconds
    return log_loss(y_test, model.predict_proba(x_test), labels=list(model.classes_)), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", default="")
    parser.add_argument(
        "--settings", default="", help="settings of afina, as NAME=VALUE,NAME=VALUE"
    )
    args = parser.parse_args()
    pairs_given = [one.split("=") for one in args.settings.split(",") if one]
    settings = {k: int(v) if v.isdigit() else v for k, v in pairs_given}
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    peers = ["CatBoost", "HistGradientBoosting"]
    print("| table | rows | afina | " + " | ".join(f"{p} / afina" for p in peers), end="")
    print(" | afina, s | " + " | ".join(f"{p}, s" for p in peers) + " |")
    print("| --- |" + " --- |" * (3 + 2 * len(peers)))
    logs: dict[str, list[float]] = {p: [] for p in peers}
    for name in args.only.split(",") if args.only else REGIMES:
        regime = REGIMES[name]
        figures = {
            who: [measure(who, regime, seed, settings) for seed in range(args.seeds)]
            for who in ["afina", *peers]
        }
        means = {
            who: statistics.mean(math.log(error) for error, _ in of) for who, of in figures.items()
        }
        took = [statistics.median(seconds for _, seconds in figures[who]) for who in figures]
        for p in peers:
            logs[p].append(means[p] - means["afina"])
        cells = [f"{math.exp(means['afina']):.4g}"]
        cells += [f"{math.exp(logs[p][-1]):.3f}" for p in peers] + [f"{s:.2g}" for s in took]
        print(f"| {name} | {regime.n_rows:,} | " + " | ".join(cells) + " |", flush=True)
    for p in peers:
        mean, better = math.exp(statistics.mean(logs[p])), sum(log > 0 for log in logs[p])
        print(f"\n{p}: {mean:.3f} of afina's error; afina is better on {better}/{len(logs[p])}")


if __name__ == "__main__":
    main()
