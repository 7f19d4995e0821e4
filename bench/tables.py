"""Compare afina with its peers on public tables, all with their defaults.

The seed splits each table into four fifths for fitting and a fifth for testing. Every contender gets
the same four fifths in one call, and the same seed; contenders that stop early take validation rows
from them as they do by default. None sees a test row before it predicts. Every run is a separate
process, one after another.

Error: 1 - AUC (two classes), log-loss (more classes), RMSE (regression). The runs of peers come from
`bench/results/`, which records versions and hardware; afina is always run again. Times of different
days or machines say little, so `--times` measures afina and a peer in alternation.

    pip install '.[bench]'
    python bench/tables.py --fast                                what changed, in a few minutes
    python bench/tables.py --variant preset=plain lr=2e-3,dropout=0.2
    python bench/tables.py --times                               compared with CatBoost
    python bench/tables.py --out docs/evidence/tables.md --plot docs/evidence/tables.svg
    python bench/tables.py --only CatBoost --peers fill          run what the cache lacks
"""

import argparse
import datetime as dt
import importlib
import pkgutil
import tomllib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from one_run import Figures, Task, measure, run_apart, score
from peers import PEERS, FitData, Predict
from public_tables import FAST, TABLES, PublicTable, split
from run_record import Run, hardware, merge, read_runs, versions, write_runs
from standings import names_of
from tables_report import plot, report, time_ratios, write_between_marks

RESULTS = Path(__file__).parent / "results"
LOG = Path(__file__).parents[1] / "docs" / "log.md"
BY_NAME = {table.name: table for table in TABLES}
FitsRows = Callable[[pd.DataFrame, "pd.Series[Any]", bool, int, int], tuple[Predict, Any]]


@dataclass(frozen=True)
class Contender:
    """A contender: `fit` takes raw rows, raw targets, whether they are classes, seed and threads."""

    name: str
    fit: FitsRows
    packages: tuple[str, ...]


def afina_with(settings: dict[str, Any]) -> FitsRows:
    """Make the fit function of afina with changed settings, or a preset."""

    def fit(
        x: pd.DataFrame, y: "pd.Series[Any]", classes: bool, seed: int, threads: int
    ) -> tuple[Predict, Any]:
        import afina

        own = {key: value for key, value in settings.items() if key != "preset"}
        kind = afina.AfinaClassifier if classes else afina.AfinaRegressor
        model = kind.from_preset(settings.get("preset", "default"), random_state=seed)
        model.set_params(**({"threads": threads} if threads else {}), **own).fit(x, y)
        predict = model.predict_proba if classes else model.predict
        return predict, model.classes_ if classes else None

    return fit


def peer(name: str) -> Contender:
    """Make a peer; it gets codes instead of labels, because XGBoost accepts nothing else."""

    def fit(
        x: pd.DataFrame, y: "pd.Series[Any]", classes: bool, seed: int, threads: int
    ) -> tuple[Predict, Any]:
        labels, codes = np.unique(y, return_inverse=True) if classes else (None, y.to_numpy())
        return PEERS[name].fit(FitData(x, codes, classes, seed, threads)), labels

    return Contender(name, fit, PEERS[name].packages)


def settings_of(text: str) -> dict[str, Any]:
    """Read `init=torch,dropout=0.2,residual=true`; a bare word is a string, None is None."""
    settings: dict[str, Any] = {}
    for pair in text.split(","):
        key, value = pair.split("=", 1)
        word = {"None": None, "True": True, "False": False, "true": True, "false": False}
        if value in word:
            settings[key] = word[value]
        else:
            toml = f'v = "{value}"' if value.isidentifier() else f"v = {value}"
            settings[key] = tomllib.loads(toml)["v"]
    return settings


@lru_cache(maxsize=1)
def rows_of(name: str, limit: int | None) -> tuple[pd.DataFrame, "pd.Series[Any]"]:
    """Load a table, or a fixed sample of its rows."""
    x, y = BY_NAME[name].load()
    if limit is not None and len(x) > limit:
        kept = np.random.default_rng(0).choice(len(x), limit, replace=False)
        x, y = x.iloc[kept].reset_index(drop=True), y.iloc[kept].reset_index(drop=True)
    return x, y


def one_run(
    contender: Contender, table: PublicTable, parts: Sequence[Any], seed: int, threads: int
) -> Figures:
    """Fit and test in this process."""
    x_fit, x_test, y_fit, y_test = parts
    classes = table.task != "regression"
    contender.fit(*warm_up(classes), classes, seed, threads)  # imports and first calls
    labels: list[Any] = []

    def fit() -> Callable[[pd.DataFrame], NDArray[Any]]:
        predict, known = contender.fit(x_fit, y_fit, classes, seed, threads)
        labels.append(known)
        return predict

    prediction, figures = measure(fit, x_test, threads)
    return figures | score(table.task, y_test, prediction, labels[0])


def warm_up(classes: bool) -> tuple[pd.DataFrame, "pd.Series[Any]"]:
    """Make a tiny table, so that imports do not count as fitting."""
    n = 80
    x = pd.DataFrame({"a": np.arange(n) % 7.0, "b": [f"l{i % 3}" for i in range(n)]})
    y = pd.Series(np.arange(n) % 5.0)
    return x, (y > 2).astype(str) if classes else y


def all_tasks(
    tables: Sequence[str], contenders: Sequence[Contender], done: set[Any], args: Any
) -> Iterator[Task]:
    """Yield the tasks table by table, seed by seed, contender by contender."""
    for name in tables:
        for seed in range(args.seeds):
            x, y = rows_of(name, args.limit_rows)
            parts = split(x, y, BY_NAME[name].task, seed)
            for one in contenders:
                if (one.name, name, seed) not in done:
                    work = partial(one_run, one, BY_NAME[name], parts, seed, args.threads)
                    yield Task((one, name, seed), work)


def run_all(
    tables: Sequence[str], contenders: Sequence[Contender], done: set[Any], args: Any
) -> Iterator[Run]:
    """Run what is not done yet, and yield each run as it ends."""
    today, where = dt.datetime.now(tz=dt.UTC).date().isoformat(), hardware()
    tasks = all_tasks(tables, contenders, done, args)
    for (one, name, seed), figures in run_apart(tasks, limit_s=args.limit_s, jobs=args.jobs):
        yield Run(
            one.name, name, BY_NAME[name].task, seed, **figures, threads=args.threads,
            versions=versions(one.packages), hardware=where, date=today,
        )  # fmt: skip


def cache_of(name: str) -> Path:
    """Return the file with a peer's cached runs."""
    return RESULTS / f"{name.lower().replace(' ', '_')}.csv"


def note_confirmation(path: Path, choice: str, day: str) -> None:
    """Record in the log, under today's heading, that the confirm tables were run."""
    head, *days = path.read_text(encoding="utf-8").split("\n## ")
    line = f"- **Confirm tables run** (`bench/tables.py --half confirm`), to confirm: {choice}\n"
    if days and days[0].startswith(day):
        heading, rest = days[0].split("\n", 1)
        days[0] = f"{heading}\n\n{line}{rest.lstrip()}"
    else:
        days.insert(0, f"{day}\n\n{line}")
    path.write_text("\n## ".join([head, *days]), encoding="utf-8")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--half", choices=["develop", "confirm"], default="develop")
    parser.add_argument(
        "--confirms", help="the choice that --half confirm confirms; goes into the log"
    )
    parser.add_argument("--tables", nargs="*", help="only these tables of the half")
    parser.add_argument("--fast", action="store_true", help=f"only {', '.join(FAST)}")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=["afina", *PEERS], help="afina and peers")
    parser.add_argument(
        "--variant", nargs="*", default=[], help="afina with settings, such as init=torch"
    )
    parser.add_argument(
        "--peers", choices=["cached", "fill", "rerun"], default="cached",
        help="use cached runs of peers, run what the cache lacks, or run all again",
    )  # fmt: skip
    parser.add_argument(
        "--times", action="store_true", help="run afina and --beside in alternation"
    )
    parser.add_argument("--beside", choices=list(PEERS), default="CatBoost")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument(
        "--threads", type=int, help="per run; 0: its default; by default 1, with --times 0"
    )
    parser.add_argument(
        "--limit-rows", type=int, help="use a fixed sample of each table, and no cache"
    )
    parser.add_argument(
        "--limit-s", type=float, default=900.0, help="time limit of a run, in seconds"
    )
    parser.add_argument("--save", type=Path, help="save the new runs as CSV")
    parser.add_argument(
        "--load", type=Path, nargs="*", default=[], help="also show runs saved by --save"
    )
    parser.add_argument(
        "--out", type=Path, help="write Markdown, between the marks of the file if it has any"
    )
    parser.add_argument("--plot", type=Path, help="write error against time as SVG")
    args = parser.parse_args()
    if (args.half == "confirm") != bool(args.confirms):
        parser.error(
            '--half confirm needs --confirms "the choice it confirms"; --half develop takes none'
        )
    if args.threads is None:
        args.threads = 0 if args.times else 1
    return args


def chosen_tables(args: argparse.Namespace) -> list[str]:
    half = [table.name for table in TABLES if table.half == args.half]
    wanted = args.tables or (FAST if args.fast else half)
    if wrong := [name for name in wanted if name not in half]:
        raise SystemExit(f"not among the {args.half} tables: {', '.join(wrong)}")
    return [name for name in half if name in wanted]


def import_all() -> None:
    """Import all of afina before the first fork, so that edits during a run have no effect on it."""
    import afina

    for module in pkgutil.walk_packages(afina.__path__, "afina."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def chosen_contenders(args: argparse.Namespace) -> list[Contender]:
    """Return afina, its variants and the peers to run."""
    ours = {"afina": {}} if "afina" in args.only else {}
    ours |= {f"afina {text}": settings_of(text) for text in args.variant}
    if ours:
        import_all()
        from afina import AfinaClassifier

        for settings in ours.values():
            own = {key: value for key, value in settings.items() if key != "preset"}
            AfinaClassifier().set_params(**own)  # fails here if a name is wrong
    contenders = [Contender(n, afina_with(s), ("afina", "torch")) for n, s in ours.items()]
    names = [name for name in args.only if name in PEERS]
    if args.times:
        names = [args.beside]
    elif args.peers == "cached":
        names = []
    return [*contenders, *(peer(name) for name in names)]


def kept_runs(args: argparse.Namespace, tables: Sequence[str]) -> list[Run]:
    """Read the runs to show with the new ones."""
    runs = [
        replace(run, contender=f"{run.contender} [{path.stem}]")  # to tell it from the new ones
        for path in args.load
        for run in read_runs(path)
    ]
    if not (args.times or args.limit_rows or args.peers == "rerun"):
        runs += [run for name in args.only if name in PEERS for run in read_runs(cache_of(name))]
    return [run for run in runs if run.table in tables and run.seed < args.seeds]


def keep(run: Run, args: argparse.Namespace) -> None:
    """Store a peer's run in its cache, and any run in the file of --save.

    A run that ended for lack of time or memory is not cached, and is tried again next time.
    """
    lasts = not run.failure.startswith(("took longer", "the process ended"))
    if run.contender in PEERS and lasts and not (args.limit_rows or args.times):
        write_runs(cache_of(run.contender), merge(read_runs(cache_of(run.contender)), [run]))
    if args.save:
        write_runs(args.save, merge(read_runs(args.save), [run]))


def main() -> None:
    args = parse()
    warnings.simplefilter("ignore")
    tables, contenders = chosen_tables(args), chosen_contenders(args)
    if args.half == "confirm":
        day = dt.datetime.now(tz=dt.UTC).date().isoformat()
        note_confirmation(LOG, args.confirms, day)
    old = kept_runs(args, tables)
    done = {(run.contender, run.table, run.seed) for run in old}
    new: list[Run] = []
    for run in run_all(tables, contenders, done, args):
        new.append(run)
        keep(run, args)
        said = run.failure or f"{run.error:.5g}"
        print(f"{run.table} seed {run.seed} {run.contender}: {said} in {run.fit_s:.1f} s "
              f"({run.fit_cpu_s:.1f} s processor)", flush=True)  # fmt: skip
    runs = merge(old, new)
    order = ["afina", *(f"afina {text}" for text in args.variant), *names_of(old), *PEERS]
    runs.sort(key=lambda run: (order.index(run.contender), run.seed))
    if not runs:
        raise SystemExit("nothing to show: no run was requested and none is cached")
    text = report(runs)
    if args.times:
        ours = [one.name for one in contenders if one.name != args.beside]
        text += "".join(
            f"\n\n## Alternating runs\n\n{time_ratios(new, n, args.beside)}" for n in ours
        )
    print("\n" + text)
    if args.out:
        write_between_marks(args.out, text)
    if args.plot:
        plot(runs, args.plot)


if __name__ == "__main__":
    main()
