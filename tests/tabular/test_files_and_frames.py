"""A table is prepared in one way, whether it comes from a file or from Python."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest

import afina
from afina import AfinaClassifier, AfinaRegressor
from afina.config import apply_settings
from afina.errors import SchemaError
from afina.table import read_table
from afina.tabular import fit_table
from afina.tabular.estimators.arguments import make_settings
from afina.tabular.events import Learned

QUICK = {"d_block": 16, "n_blocks": 1, "max_epochs": 3, "threads": 1, "embedding_dim": 4}
FOLDS = {"members": 4, "folds": 2}
ALONE = {"members": 1, "folds": 1}
BESIDE = ("y", "sample_weight", "groups")
MAKERS = {
    "pandas": pa.Table.to_pandas,
    "polars": pl.from_arrow,
    "pyarrow": lambda table: table,
}


@dataclass(frozen=True)
class Outcome:
    """What a fit came to, with its notes and the bytes of its run folder."""

    notes: list[str]
    files: dict[str, bytes]
    rows: dict[str, int]


def outcome_of(run: Path, notes: tuple[str, ...], source: Path | str) -> Outcome:
    """Read a run folder; the table's name in a note becomes that of a frame."""
    names = ("schema.json", "split.json", "metrics.jsonl", "model/model.safetensors")
    summary = json.loads((run / "summary.json").read_text())
    return Outcome(
        [note.replace(str(source), "X") for note in notes],
        {name: (run / name).read_bytes() for name in names},
        summary["rows"],
    )


def estimator(columns: dict[str, Any], **settings: object) -> AfinaClassifier | AfinaRegressor:
    """Make the estimator of a target: labels of text are classes."""
    kind = AfinaClassifier if isinstance(columns["y"][0], str) else AfinaRegressor
    return kind(**{**QUICK, **settings})


def fit_file(path: Path, model: Any, out: Path, *, val: Path | None = None) -> Outcome:
    """Fit a file by the settings of an estimator."""
    names = read_table(path).column_names
    config = make_settings(model.get_params())
    task = "classification" if isinstance(model, AfinaClassifier) else "regression"
    roles = {"weight": "sample_weight", "group": "groups"}
    table = replace(
        config.table,
        task=task,
        **{role: name for role, name in roles.items() if name in names},
    )
    events: list[object] = []
    run = fit_table(
        path,
        target="y",
        config=replace(config, table=table),
        val=val,
        out=out,
        listen=events.append,
    ).run
    notes = next(event.notes for event in events if isinstance(event, Learned))
    return outcome_of(run, notes, path)


def fit_frame(columns: dict[str, Any], model: Any, make: Any, **others: Any) -> Any:
    """Fit a frame of the features; target, weights and groups are passed beside it."""
    features = pa.table({name: cells for name, cells in columns.items() if name not in BESIDE})
    beside = {name: columns[name] for name in BESIDE[1:] if name in columns}
    if "sample_weight" in beside:
        beside["sample_weight"] = [float(weight) for weight in beside["sample_weight"]]
    return model.fit(make(features), np.array(columns["y"]), **beside, **others)


def write(path: Path, columns: dict[str, Any]) -> Path:
    """Write CSV where all cells are text, Parquet where not."""
    if path.suffix == ".parquet":
        pa.parquet.write_table(pa.table(columns), path)
    else:
        lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values()))]  # noqa: B905
        path.write_text("\n".join(lines) + "\n")
    return path


def text_columns(tables, target: str, n_rows: int = 120) -> dict[str, Any]:
    """Make a table whose features are text, with a target, weights of 0 to 2, and groups."""
    columns = tables.make(n_rows)
    cells = columns.pop(target)
    other = "kind" if target == "price" else "price"
    del columns[other]
    y = [float(cell) for cell in cells] if target == "price" else cells
    weights = ["0", "1", "2", "1", "1"] * (n_rows // 5)
    groups = ["" if row % 9 == 0 else f"g{row * 7 % 17}" for row in range(n_rows)]
    return {**columns, "y": y, "sample_weight": weights, "groups": groups}


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("settings", [ALONE, FOLDS], ids=["held out", "folds"])
@pytest.mark.parametrize("target", ["kind", "price"])
def test_a_csv_file_and_frames_of_its_text_give_one_model(
    tables, tmp_path, target, settings, maker
):
    """Schema, split, notes, weights and predictions are equal, to the bit."""
    columns = text_columns(tables, target)
    if target == "kind":  # a missing number is a ValueError, as scikit-learn demands
        columns["y"][7] = columns["y"][22] = ""
    path = write(tmp_path / "a.csv", columns)
    by_file = fit_file(path, estimator(columns, **settings), tmp_path / "file")
    model = estimator(columns, **settings, run_dir=tmp_path / "frame")
    fit_frame(columns, model, MAKERS[maker])
    by_frame = outcome_of(tmp_path / "frame", model.notes_, "X")

    assert by_frame == by_file
    assert by_file.rows["left_out"] == 24 + 2 * (target == "kind")
    assert any("24 rows are left out, because the weight is 0" in note for note in model.notes_)
    table = read_table(path)
    loaded = afina.load(tmp_path / "file")
    frame = MAKERS[maker](table.drop_columns(list(BESIDE)))
    assert np.array_equal(loaded.predict(table), model.predict(frame))


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_parquet_file_and_typed_frames_give_one_model(tables, tmp_path, maker, weighted):
    """So it is where columns have types: numbers, booleans, dates, missing cells."""
    rng = np.random.default_rng(0)
    n = 90
    columns = {
        "size": pa.array(
            np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)), from_pandas=True
        ),
        "on": pa.array(rng.random(n) < 0.5),
        "day": pa.array(
            np.datetime64("2024-01-01", "us") + rng.integers(0, 99, n) * 86_400_000_000
        ),
        "code": pa.array(rng.choice(["a", "b", "01"], n)),
        "count": pa.array(rng.integers(0, 50, n)),
        "y": rng.normal(size=n).tolist(),
    }
    if weighted:
        columns["sample_weight"] = rng.integers(0, 3, n).astype(float).tolist()
    by_file = fit_file(
        write(tmp_path / "a.parquet", columns), estimator(columns, **ALONE), tmp_path / "file"
    )
    model = estimator(columns, **ALONE, run_dir=tmp_path / "frame")
    fit_frame(columns, model, MAKERS[maker])

    assert outcome_of(tmp_path / "frame", model.notes_, "X") == by_file


@pytest.mark.parametrize("target", ["kind", "price"])
def test_a_validation_file_and_validation_frames_give_one_model(tables, tmp_path, target):
    """Validation rows are read by the same rules, and a cell that is taken as missing is noted."""
    columns = text_columns(tables, target)
    val = text_columns(tables, target, 40)
    for name in BESIDE[1:]:
        del columns[name], val[name]
    val["size"][3] = "huge"
    path = write(tmp_path / "a.csv", columns)
    val_path = write(tmp_path / "val.csv", val)
    by_file = fit_file(path, estimator(columns, **ALONE), tmp_path / "file", val=val_path)
    model = estimator(columns, **ALONE, run_dir=tmp_path / "frame")
    features = pa.table({name: cells for name, cells in val.items() if name != "y"})
    fit_frame(columns, model, MAKERS["pandas"], X_val=features.to_pandas(), y_val=val["y"])

    assert outcome_of(tmp_path / "frame", model.notes_, "X") == by_file
    assert any("'size'" in note and "huge" in note for note in model.notes_)


def constant(value: object):
    def change(columns: dict[str, Any]) -> None:
        columns["y"] = [value] * len(columns["y"])

    return change


def weights(*values: str):
    def change(columns: dict[str, Any]) -> None:
        n_rows = len(columns["y"])
        columns["sample_weight"] = (list(values) * n_rows)[:n_rows]

    return change


def no_feature(columns: dict[str, Any]) -> None:
    for name in [name for name in columns if name not in BESIDE]:
        columns[name] = ["same"] * len(columns["y"])


def one_group(columns: dict[str, Any]) -> None:
    columns["groups"] = ["all"] * len(columns["y"])


def two_groups(columns: dict[str, Any]) -> None:
    columns["groups"] = ["one" if label == "cheap" else "two" for label in columns["y"]]
    columns["y"] = ["cheap" if label == "cheap" else "dear" for label in columns["y"]]


def infinite(columns: dict[str, Any]) -> None:
    columns["size"][5] = "inf"


def nothing_weighs_but_one_class(columns: dict[str, Any]) -> None:
    columns["sample_weight"] = ["1" if label == "cheap" else "0" for label in columns["y"]]


REFUSED = {
    "constant labels": ("kind", constant("a"), "must have at least two classes"),
    "constant numbers": ("price", constant(2.5), "must vary"),
    "one class weighs": ("kind", nothing_weighs_but_one_class, "must have at least two classes"),
    "no feature": ("kind", no_feature, "must have a column to learn from"),
    "no weight": ("kind", weights("0"), "must be above 0 in at least one row"),
    "weight below 0": ("price", weights("1", "2", "-1"), "row 3 has -1"),
    "one group": ("price", one_group, "a split needs at least two groups"),
    "constant among the training rows": ("kind", two_groups, "among the training rows"),
    "infinite number": ("price", infinite, "row 6"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_refused_in_the_same_words(tables, tmp_path, case):
    """A file and a frame that cannot be learned from give the same message."""
    target, change, words = REFUSED[case]
    columns = text_columns(tables, target, 60)
    columns["sample_weight"] = ["1"] * 60
    change(columns)
    path = write(tmp_path / "a.csv", columns)
    with pytest.raises(SchemaError, match=words) as by_file:
        fit_file(path, estimator(columns, **ALONE), tmp_path / "file")
    with pytest.raises(SchemaError, match=words) as by_frame:
        fit_frame(columns, estimator(columns, **ALONE), MAKERS["pandas"])

    assert str(by_frame.value) == str(by_file.value).replace(str(path), "X")
    assert not (tmp_path / "file").exists()


def test_a_label_only_the_validation_rows_have_is_refused_in_the_same_words(tables, tmp_path):
    """A validation row of a class that was not learned is named by row and label."""
    columns, val = text_columns(tables, "kind"), text_columns(tables, "kind", 40)
    for name in BESIDE[1:]:
        del columns[name], val[name]
    val["y"][3] = "odd"
    path, val_path = write(tmp_path / "a.csv", columns), write(tmp_path / "val.csv", val)
    with pytest.raises(SchemaError, match="row 4 holds 'odd'") as by_file:
        fit_file(path, estimator(columns, **ALONE), tmp_path / "file", val=val_path)
    features = pa.table({name: cells for name, cells in val.items() if name != "y"})
    with pytest.raises(SchemaError, match="row 4 holds 'odd'") as by_frame:
        fit_frame(columns, estimator(columns), MAKERS["pandas"], X_val=features, y_val=val["y"])

    file_words = str(by_file.value).replace(f"{val_path}: target 'y'", "X_val: target 'y_val'")
    assert str(by_frame.value) == file_words


def test_a_class_of_one_row_is_a_class_where_classes_were_asked_for(tables, tmp_path):
    """It is refused only where the task was inferred; an estimator and `table.task` say it."""
    columns = text_columns(tables, "kind", 60)
    for name in BESIDE[1:]:
        del columns[name]
    columns["y"][11] = "rare"
    path = write(tmp_path / "a.csv", columns)
    by_file = fit_file(path, estimator(columns, **ALONE), tmp_path / "file")
    model = estimator(columns, **ALONE, run_dir=tmp_path / "frame")
    fit_frame(columns, model, MAKERS["pandas"])

    assert "rare" in model.classes_
    assert outcome_of(tmp_path / "frame", model.notes_, "X") == by_file
    with pytest.raises(SchemaError, match="at least two rows of each class"):
        fit_table(
            path,
            target="y",
            config=apply_settings(tables.config(), ["table.task=auto"]),
            out=tmp_path / "inferred",
        )


def test_a_found_learning_rate_is_noted_both_ways(tables, tmp_path):
    """`notes_` has what the command prints, also of the learning rate."""
    columns = text_columns(tables, "price")
    path = write(tmp_path / "a.csv", columns)
    by_file = fit_file(path, estimator(columns, **ALONE, lr="find"), tmp_path / "file")
    model = estimator(columns, **ALONE, lr="find")
    fit_frame(columns, model, MAKERS["pandas"])

    assert list(model.notes_) == by_file.notes
    assert any("learning rate" in note for note in model.notes_)
