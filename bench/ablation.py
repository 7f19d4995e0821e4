"""Measure what each part of the default recipe is worth: remove or change it, and compare.

The default and every variant are fitted one after the other on the same rows of the same *develop*
tables, each in its own process. The error of a variant is a ratio to the default's (above 1, the
part is worth having): the geometric mean over tables, with a 95 % interval from 10,000 draws of
tables with replacement. Time is the median ratio of processor seconds.

    python bench/ablation.py --seeds 2 --out docs/evidence/recipe.md
    python bench/ablation.py --only "sixteen members" --tables modeldata/credit_data

Errors: log-loss (classes) or RMSE (regression).
"""

import argparse
import math
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import mean, median

import numpy as np
from one_run import Figures, Task, run_apart
from public_tables import TABLES, split
from tables import BY_NAME, Contender, afina_with, import_all, one_run, rows_of, settings_of
from tables_report import write_between_marks

VARIANTS = {
    "one network, no folds": "members=1,folds=1",
    "no folds: a fifth of the rows is held out": "folds=1",
    "members share weights (16 of 128 units, `linear`)": (
        "members=16,members_differ=linear,folds=1,d_block=128"
    ),
    "eight members, patience 5": "members=8,patience=5",
    "sixteen members": "members=16",
    "networks of 128 units": "d_block=128",
    "no embedding of numbers": "numeric_embedding=none",
    "24 bins for any number of rows": "n_bins=24",
    "one-hot columns up to 512 levels": "onehot_max=512",
    "quantile scaling": "scaling=quantile",
    "no linear part": "linear_skip=false",
    "no weight averaging": "averaging=none",
    "dropout 0.1 for regression too": "dropout=0.1",
    "no dropout": "dropout=0.0",
    "silu": "activation=silu",
    "AdamW with lr 2e-3 on its smaller batches": "optimizer=adamw,lr=0.002",
    "embeddings of 8 outputs for any number of columns": "d_numeric=8",
    "learning rate 6e-3": "lr=0.006",
    "beta2 0.999": "beta2=0.999",
    "weight decay 1e-2": "weight_decay=0.01",
    "patience 16": "patience=16",
    "preset fast": "preset=fast",
    "preset best": "preset=best",
    "preset plain": "preset=plain",
}
# On the first three, all variants take hours. The fourth has 36 test rows: one of them can double
# the log-loss.
LEFT_OUT = (
    "nycflights13/flights",
    "ggplot2/diamonds",
    "ratdat/complete",
    "sklearn/wine",
)
DEFAULT = "default"
Runs = dict[str, dict[tuple[str, int], Figures]]


def error_of(figures: Figures) -> float:
    """Return log-loss or RMSE; NaN where the run failed."""
    return float(figures.get("rmse", figures.get("log_loss", math.nan)))


def measure_all(variants: dict[str, str], tables: list[str], seeds: int, limit_s: float) -> Runs:
    """Run the default and each variant on each table and seed."""
    contenders = [Contender(DEFAULT, afina_with({}), ())]
    contenders += [Contender(n, afina_with(settings_of(v)), ()) for n, v in variants.items()]

    def tasks() -> Iterator[Task]:
        for name in tables:
            for seed in range(seeds):
                parts = split(*rows_of(name, None), BY_NAME[name].task, seed)
                for one in contenders:
                    work = partial(one_run, one, BY_NAME[name], parts, seed, 1)
                    yield Task((one.name, name, seed), work)

    runs: Runs = defaultdict(dict)
    for (contender, table, seed), figures in run_apart(tasks(), limit_s=limit_s, jobs=1):
        runs[contender][table, seed] = figures
        said = figures.get("failure") or f"{error_of(figures):.5g}, {figures['fit_cpu_s']:.1f} s"
        print(f"{table} seed {seed} {contender}: {said}", flush=True)
    return runs


def ratios(runs: Runs, variant: str) -> dict[str, tuple[float, float]]:
    """Return, for each table, the log ratio of the error and the ratio of the time to the default's."""
    by_table = defaultdict(list)
    for key, figures in runs[variant].items():
        base = runs[DEFAULT].get(key, {})
        if "failure" not in figures and "fit_cpu_s" in base:
            error = math.log(error_of(figures) / error_of(base))
            by_table[key[0]].append((error, figures["fit_cpu_s"] / base["fit_cpu_s"]))
    return {
        table: (mean(e for e, _ in pairs), median(t for _, t in pairs))
        for table, pairs in by_table.items()
    }


def row(runs: Runs, variant: str) -> str:
    """Return one variant as a row of a Markdown table."""
    by_table = ratios(runs, variant)
    logs = np.array([error for error, _ in by_table.values()])
    draws = np.random.default_rng(0).choice(logs, (10_000, len(logs))).mean(axis=1)
    low, high = np.exp(np.quantile(draws, [0.025, 0.975]))
    classes = [e for t, (e, _) in by_table.items() if BY_NAME[t].task != "regression"]
    numbers = [e for t, (e, _) in by_table.items() if BY_NAME[t].task == "regression"]
    means = [f"{math.exp(mean(part)):.3f}" if part else "" for part in (classes, numbers)]
    worse = int((logs > 0).sum())
    time = median(ratio for _, ratio in by_table.values())
    return (
        f"| {variant} | {math.exp(logs.mean()):.3f} ({low:.3f} to {high:.3f}) | {means[0]} | "
        f"{means[1]} | {worse} of {len(logs)} | {time:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--tables", nargs="*", help="only these develop tables")
    parser.add_argument("--only", nargs="*", help="only these variants")
    parser.add_argument("--limit-s", type=float, default=300.0)
    parser.add_argument("--out", type=Path, help="write Markdown between the marks of this file")
    args = parser.parse_args()
    develop = [t.name for t in TABLES if t.half == "develop" and t.name not in LEFT_OUT]
    tables = [name for name in develop if args.tables is None or name in args.tables]
    variants = {n: v for n, v in VARIANTS.items() if args.only is None or n in args.only}
    import_all()
    runs = measure_all(variants, tables, args.seeds, args.limit_s)
    head = (
        f"{len(tables)} develop tables, {args.seeds} seeds.\n\n"
        "| instead | error, ratio to the default (95 % interval) | classes | regression | "
        "tables where the default is better | time, ratio |\n|---|---|---|---|---|---|"
    )
    text = "\n".join([head, *(row(runs, name) for name in variants)])
    print(text)
    if args.out is not None:
        write_between_marks(args.out, text)


if __name__ == "__main__":
    main()
