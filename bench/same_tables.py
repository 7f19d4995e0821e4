"""Digests of ten small tables fitted by the command line, and five of them by the estimators.

Nine tables are synthetic, the tenth ships with afina. Together they cover two classes, several
classes and regression; numbers, categories, dates, booleans, amounts of money and missing cells; row
weights, groups, time, a table of validation rows; all presets, with and without folds; and rarely used
settings.
"""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from digests import Parts, digest_array, digest_bytes, digest_json, digest_tensors, records
from made_tables import (
    clicks,
    grades,
    orders,
    patients,
    rents,
    sales,
    sensors,
    shapes,
    visits,
)
from numpy.random import Generator
from safetensors.torch import load_file

import afina
from afina.config import Config, to_toml
from afina.data import bundled_table

N_NEW = 80
N_VAL = 150
CLOCKED = ("seconds", "table")
"""The entries of summary.json that depend on the clock and on folders of this machine."""

FILES = (
    "schema.json",
    "split.json",
    "config.toml",
    "model/schema.json",
    "model/config.toml",
    "model/model.json",
)

# The section of a setting that has moved, in the tree that is run.
_EXPERIMENTAL = "experimental" if "[experimental]" in to_toml(Config()) else "train"


@dataclass(frozen=True)
class TableFit:
    """A table, and the arguments of `afina fit` for it.

    Args:
        make: rows from random numbers.
        target: the column to predict.
        n: rows to fit.
        options: further options of `afina fit`.
        ending: kind of the table's file.
        with_val: whether there is a separate table of validation rows.
    """

    make: Callable[[Generator, int], pd.DataFrame]
    target: str
    n: int
    options: str
    ending: str = "csv"
    with_val: bool = False


FITS = {
    "clicks": TableFit(
        clicks,
        "clicked",
        900,
        "--preset fast --weight times --seed 5 --set train.max_epochs=60 "
        "--set preprocess.embedding_dim=auto --set model.activation=silu",
    ),
    "shapes": TableFit(
        shapes,
        "shape",
        700,
        "--preset plain --set model.norm=batch --set train.batchnorm=window "
        "--set train.batch_size=128 --set train.microbatch_size=48 --set train.schedule=cosine "
        "--set train.warmup_steps=5 --set train.max_epochs=8 --set model.d_block=64",
    ),
    "rents": TableFit(
        rents,
        "rent",
        800,
        "--set preprocess.target_transform=log --set train.max_epochs=8 --set table.folds=3",
        ending="semicolon.csv",
    ),
    "visits": TableFit(
        visits,
        "minutes",
        600,
        "--preset plain --group clinic --set model.norm=layer --set preprocess.scaling=standard "
        "--set preprocess.target_transform=quantile --set train.optimizer=sgd --lr 0.02 "
        "--set model.activation=gelu --set model.init=auto --set train.l2=1e-3 "
        "--set train.max_epochs=10 --set model.d_block=64",
    ),
    "sales": TableFit(
        sales,
        "sold",
        800,
        "--preset plain --time day --set model.norm=rms --set model.norm_place=pre "
        "--set model.residual=true --set model.parametric_activation=true "
        "--set train.averaging=swa --set train.averaging_start=2 "
        "--set preprocess.clip_predictions=true --set train.max_epochs=8 --set model.d_block=48",
    ),
    "patients": TableFit(
        patients,
        "ill",
        800,
        "--set model.numeric_embedding=periodic --set preprocess.impute=mean "
        "--set preprocess.scaling=minmax --set stop.monitor=val/auc --set train.max_epochs=6",
        with_val=True,
    ),
    "grades": TableFit(
        grades,
        "grade",
        700,
        "--preset best --group school --set train.label_smoothing=0.05 "
        f"--set {_EXPERIMENTAL}.bias_lr_factor=0.5 --set train.max_epochs=6",
    ),
    "sensors": TableFit(
        sensors,
        "load",
        800,
        "--set model.members=8 --set model.members_differ=linear --set table.folds=1 "
        "--set preprocess.categories=ordinal --set preprocess.target_transform=auto "
        "--set preprocess.scaling=quantile --set train.schedule=onecycle --val-frac 0.25 "
        "--set train.max_epochs=8",
        ending="parquet",
    ),
    "orders": TableFit(
        orders,
        "paid",
        700,
        "--preset plain --lr find --kind zip=categorical --set preprocess.categories=embedding "
        "--set model.feature_scale=true "
        "--set model.numeric_embedding=piecewise --set model.n_bins=12 --set train.precision=bf16 "
        "--set train.activation_checkpointing=true --set train.max_epochs=6 "
        '--set table.missing_values=["?"] --set model.d_block=64',
    ),
}


def rows_of(fit: TableFit, name: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Make training rows, validation rows, and new rows without their target."""
    seed = list(FITS).index(name)
    frame = fit.make(np.random.default_rng(seed), fit.n + N_VAL + N_NEW)
    first, val, new = np.split(np.arange(len(frame)), [fit.n, fit.n + N_VAL])
    return frame.iloc[first], frame.iloc[val], frame.iloc[new].drop(columns=fit.target)


def shipped_table(folder: Path) -> Parts:
    """Fit the bundled table, which is the default, with the default recipe."""
    return fit_and_predict(folder, bundled_table(), "--set", "train.max_epochs=3")


def made_table(name: str, folder: Path) -> Parts:
    """Write a table to a file and fit it."""
    fit = FITS[name]
    paths = [folder / f"{part}.{fit.ending}" for part in ("fit", "val", "new")]
    for frame, path in zip(rows_of(fit, name), paths, strict=True):
        write_table(frame, path)
    arguments = [str(paths[0]), "--target", fit.target, *fit.options.split()]
    arguments += ["--val", str(paths[1])] if fit.with_val else []
    return fit_and_predict(folder, paths[2], *arguments)


def as_float32(predictions: Path) -> bytes:
    """Return a CSV file of predictions with its numbers rounded to float32, as they are written now."""

    def rounded(cell: str) -> str:
        try:
            return str(np.float32(cell))
        except ValueError:
            return cell

    rows = csv.reader(predictions.read_text(encoding="utf-8").splitlines())
    return json.dumps([[rounded(cell) for cell in row] for row in rows]).encode()


def fit_and_predict(folder: Path, new: Path, *arguments: str) -> Parts:
    """Fit by the command line and predict the rows of a file; digest the results."""
    run, predictions = folder / "run", folder / "predictions.csv"
    run_afina(folder, "fit", *arguments, "--out", str(run), "--set", "train.threads=1", "--quiet")
    run_afina(folder, "predict", str(run), str(new), "--out", str(predictions), "--quiet")
    parts = digest_run(run)
    parts["predictions"] = {"afina predict": digest_bytes(as_float32(predictions))}
    return parts


def write_table(frame: pd.DataFrame, path: Path) -> None:
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        separator = ";" if ".semicolon" in path.suffixes else ","
        frame.to_csv(path, index=False, sep=separator)


def run_afina(folder: Path, *words: str) -> None:
    """Run a command of the afina that this process imports, on one thread."""
    source = Path(afina.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "afina", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"afina {words[0]} ended with {done.returncode}: {done.stderr.strip()}")


def digest_run(run: Path) -> Parts:
    """Digest a run folder without its predictions."""
    summary = json.loads((run / "summary.json").read_bytes())
    kept = {key: value for key, value in summary.items() if key not in CLOCKED}
    return {
        "weights": digest_tensors(load_file(run / "model" / "model.safetensors")),
        "metrics": {"metrics.jsonl": digest_bytes((run / "metrics.jsonl").read_bytes())},
        "files": {name: digest_bytes((run / name).read_bytes()) for name in FILES}
        | {"summary.json": digest_json(kept)},
    }


def weighted_frame(_: Path) -> Parts:
    """Two classes from a frame with row weights, with the default recipe."""
    x, y, new = features("clicks")
    weights = x.pop("times")
    model = afina.AfinaClassifier(max_epochs=5, threads=1, random_state=3)
    return digest_model(model.fit(x, y, sample_weight=weights), new.drop(columns="times"))


def grouped_array(_: Path) -> Parts:
    """A number from an array, with groups that stay on one side of the split."""
    x, y, new = features("visits")
    groups = x.pop("clinic").to_numpy()
    numbers = x.to_numpy(dtype=np.float64, na_value=np.nan)
    model = afina.AfinaRegressor(
        max_epochs=5, threads=1, members_differ="block", val_frac=0.25, dropout=0.05, beta2=0.99
    )
    model.fit(numbers, y.to_numpy(), groups=groups)
    return digest_model(model, new.drop(columns="clinic").to_numpy(np.float64, na_value=np.nan))


def own_validation(_: Path) -> Parts:
    """Two classes with the plain recipe and a table of validation rows, until patience runs out."""
    x, y, new = features("patients")
    _, val, _ = rows_of(FITS["patients"], "patients")
    model = afina.AfinaClassifier.from_preset(
        "plain", max_epochs=60, patience=2, threads=1, norm="batch", norm_place="after", d_block=48
    )
    model.fit(x, y, X_val=val.drop(columns="ill"), y_val=val["ill"])
    return digest_model(model, new)


def typed_frame(folder: Path) -> Parts:
    """A number from a typed frame with the fast recipe and a run folder."""
    x, y, new = features("sensors")
    model = afina.AfinaRegressor.from_preset(
        "fast",
        max_epochs=5,
        threads=1,
        target_transform="auto",
        run_dir=folder / "run",
        encodings={"site": "embedding"},
        n_bins=16,
    )
    parts = digest_model(model.fit(x, y), new)
    whole = digest_run(folder / "run")
    whole["metrics"] |= parts["metrics"]
    return whole | {"predictions": parts["predictions"]}


def several_classes(_: Path) -> Parts:
    """Four classes from an array, with members that share layers, and AdamW on a schedule."""
    x, y, new = features("shapes")
    model = afina.AfinaClassifier(
        max_epochs=6,
        threads=1,
        folds=1,
        members=4,
        members_differ="layers",
        optimizer="adamw",
        schedule="flat_cos",
        unknown_rate=0.1,
        init="kaiming_normal",
        activation="mish",
    )
    return digest_model(model.fit(x.to_numpy(), y.to_numpy()), new.to_numpy())


TABLES: dict[str, Callable[[Path], Parts]] = {
    "loans": shipped_table,
    **{name: partial(made_table, name) for name in FITS},
}

ESTIMATORS: dict[str, Callable[[Path], Parts]] = {
    "weighted frame": weighted_frame,
    "grouped array": grouped_array,
    "own validation": own_validation,
    "typed frame": typed_frame,
    "several classes": several_classes,
}


def features(name: str) -> tuple[pd.DataFrame, pd.Series, pd.DataFrame]:
    """Return features, target, and features of new rows."""
    first, _, new = rows_of(FITS[name], name)
    return first.drop(columns=FITS[name].target), first[FITS[name].target], new


def digest_model(model: Any, new: Any) -> Parts:
    """Digest the history of a fitted estimator, and its predictions of new rows and of a single one."""
    predictions = {"predict": model.predict(new), "predict one row": model.predict(new[:1])}
    if isinstance(model, afina.AfinaClassifier):
        predictions["predict_proba"] = model.predict_proba(new)
        predictions["predict_proba one row"] = model.predict_proba(new[:1])
        predictions["classes_"] = model.classes_
    return {
        "metrics": {
            "history_": digest_json(model.history_),
            "stop_": digest_json(records([model.stop_])),
        },
        "predictions": {key: digest_array(np.asarray(value)) for key, value in predictions.items()},
    }
