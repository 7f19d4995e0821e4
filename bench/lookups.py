"""Fit tables whose rows repeat: look-ups, which repeat by chance, and copies, which do not.

    python bench/lookups.py [--seeds 5] [--part lookups|copies] [--most-rows 6000] [--check]

*Look-ups*: the target's class follows from one category, or from a combination of several, but for
noise. Each row is a draw of a combination. The error is the expected log-loss over all combinations
(no test rows are needed, as the probabilities are known), beside that of a look-up that adds one row of
each class to every combination. *Copies*: a table, and the same with each row five times. The error
is log-loss or RMSE on 20,000 new rows. Both are means over draws. With `--check`, the script exits with
1 unless look-ups with ten rows per combination or more are within 2 % or 0.01 of the add-one look-up,
whichever is larger, and copies are within 1 % of the table without them.
"""

import argparse
import math
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import regimes
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from sklearn.metrics import log_loss

import afina
from afina.errors import AfinaWarning

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
SIZES = ((2,), (5,), (20,), (60,), (200,), (4, 5), (8, 8), (4, 4, 4))
REPEATS = (5, 10, 30, 100)
NOISE = (0.0, 0.1, 0.2)


def numbers(r: Generator, n: int) -> tuple[pd.DataFrame, Integers]:
    x = r.normal(size=(n, 8))
    return regimes.frame(x), regimes.coin(r, x[:, 0] * x[:, 1] + x[:, 2])


def rounded(r: Generator, n: int) -> tuple[pd.DataFrame, Integers]:
    """Two whole numbers and a flag: rows repeat by chance, and copies come on top."""
    age, weeks, flag = r.integers(18, 70, n), r.poisson(8, n), r.random(n) < 0.3
    logit = 0.08 * (age - 45) + 0.2 * (weeks - 8) * np.where(flag, -1, 1)
    return pd.DataFrame({"age": age, "weeks": weeks, "flag": flag}), regimes.coin(r, logit)


COPIES = 5
COPIED = {
    "eight numbers": regimes.Regime(numbers, 1000),
    "numbers and 300 levels": regimes.Regime(regimes.levels_300, 1500),
    "twenty questions": regimes.REGIMES["questionnaire"],
    "120 combinations": regimes.REGIMES["120 combinations"],
    "2160 combinations": regimes.Regime(regimes.REGIMES["2160 combinations"].make, 3000),
    "a number": regimes.Regime(regimes.linear, 300, regression=True),
    "rounded numbers": regimes.Regime(rounded, 2000),
}


@dataclass(frozen=True)
class LookUp:
    """Rows of combinations of categories, and the probability of class 1 of each combination."""

    sizes: tuple[int, ...]
    rows: Integers
    y: Integers
    p: Floats

    def frame(self, combinations: Integers) -> pd.DataFrame:
        """Return the categories of some combinations."""
        codes = np.unravel_index(combinations, self.sizes)
        return pd.DataFrame({f"c{i}": regimes.names("v", code) for i, code in enumerate(codes)})

    def error(self, predictions: Floats) -> float:
        """Return the expected log-loss, given the predicted probability of each combination."""
        q = np.clip(predictions, 1e-12, 1 - 1e-12)
        return float(-(self.p * np.log(q) + (1 - self.p) * np.log(1 - q)).mean())


def draw(r: Generator, sizes: tuple[int, ...], repeats: int, noise: float) -> LookUp:
    """Draw a class for each combination, at least one of each, and rows of combinations."""
    n = math.prod(sizes)
    label = r.permutation(np.append([0, 1], r.integers(0, 2, n - 2)))
    p = np.where(label == 1, 1 - noise, noise)
    rows = r.integers(0, n, n * repeats)
    return LookUp(sizes, rows, (r.random(len(rows)) < p[rows]).astype(np.int64), p)


def errors(lookup: LookUp, seed: int) -> tuple[float, float]:
    """Return the errors of afina and of the add-one look-up."""
    n = len(lookup.p)
    model = afina.AfinaClassifier(random_state=seed, threads=1)
    model.fit(lookup.frame(lookup.rows), lookup.y)
    ones = np.bincount(lookup.rows, weights=lookup.y, minlength=n)
    add_one = (ones + 1) / (np.bincount(lookup.rows, minlength=n) + 2)
    predictions = model.predict_proba(lookup.frame(np.arange(n)))[:, 1]
    return lookup.error(predictions), lookup.error(add_one)


def lookups(seeds: int, most_rows: int) -> Iterator[bool]:
    """Print a row for each kind of look-up; yield whether it is close enough."""
    print("| levels | rows per combination | noise | afina | add-one look-up | difference |")
    print("|---|---|---|---|---|---|")
    for sizes in SIZES:
        for repeats in REPEATS:
            if math.prod(sizes) * repeats > most_rows:
                continue
            for noise in NOISE:
                pairs = []
                for seed in range(seeds):
                    lookup = draw(default_rng([seed, repeats]), sizes, repeats, noise)
                    if lookup.y.min() < lookup.y.max():
                        pairs.append(errors(lookup, seed))
                ours, bar = np.mean(pairs, axis=0)
                close = ours <= max(1.02 * bar, bar + 0.01)
                mark = "" if close else " (more)"
                name = " x ".join(map(str, sizes))
                print(
                    f"| {name} | {repeats} | {noise:.0%} | {ours:.4f} | {bar:.4f} "
                    f"| {ours - bar:+.4f}{mark} |",
                    flush=True,
                )
                yield bool(close) or repeats < 10


def copies(seeds: int) -> Iterator[bool]:
    """Print a row for each table; yield whether copies of its rows do not matter."""
    print("| table | rows | error | each row five times | ratio |\n|---|---|---|---|---|")
    for name, regime in COPIED.items():
        pairs = []
        for seed in range(seeds):
            r = default_rng([seed, len(name)])
            x, y = regime.make(r, regime.n_rows)
            x_new, y_new = regime.make(r, regimes.N_TEST)
            order = r.permutation(np.repeat(np.arange(len(x)), COPIES))
            parts = ((x, np.asarray(y)), (x.iloc[order], np.asarray(y)[order]))
            pairs.append([new_error(regime, part, (x_new, y_new), seed) for part in parts])
        once, copied = np.mean(pairs, axis=0)
        print(
            f"| {name} | {regime.n_rows:,} | {once:.4f} | {copied:.4f} | {copied / once:.4f} |",
            flush=True,
        )
        yield copied <= 1.01 * once


def new_error(regime: regimes.Regime, rows: tuple, new: tuple, seed: int) -> float:
    """Fit on rows, and return the error on new ones."""
    kind = afina.AfinaRegressor if regime.regression else afina.AfinaClassifier
    model = kind(random_state=seed, threads=1).fit(*rows)
    if regime.regression:
        return float(np.sqrt(np.mean((model.predict(new[0]) - new[1]) ** 2)))
    return float(log_loss(new[1], model.predict_proba(new[0])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--part", choices=("lookups", "copies"))
    parser.add_argument("--most-rows", type=int, default=6000, help="of a look-up")
    parser.add_argument("--check", action="store_true", help="exit with 1 if something is off")
    args = parser.parse_args()
    warnings.simplefilter("ignore", AfinaWarning)
    close: list[bool] = []
    if args.part != "copies":
        close += lookups(args.seeds, args.most_rows)
        print()
    if args.part != "lookups":
        close += copies(args.seeds)
    if args.check and not all(close):
        sys.exit(1)


if __name__ == "__main__":
    main()
