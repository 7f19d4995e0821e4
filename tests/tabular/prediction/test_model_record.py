"""A description in model.json costs no more than the tensors beside it."""

import json
from dataclasses import replace
from math import isqrt
from pathlib import Path

import numpy as np
import pytest
import torch

from afina.config import Config, ModelSettings
from afina.errors import CheckpointError
from afina.storage import commit_folder, verify_folder
from afina.table import Schema
from afina.tabular import fit_table, load
from afina.tabular.prediction.model_record import check_fits, read_record, write_record

PLAIN = {"numeric_embedding": None}


def config_of(tables, *, folds: int = 3, **model: object) -> Config:
    """Return settings that train a small ensemble for an epoch."""
    quick = tables.config(val_frac=None, folds=folds)
    options = {"d_block": 6, "n_blocks": 2, "members": 6, "members_differ": "weights"}
    train = replace(quick.train, max_epochs=1)
    return replace(quick, model=ModelSettings(**PLAIN | options | model), train=train)


@pytest.fixture
def run(tables, kinds_csv, tmp_path) -> Path:
    """Return a run whose members leave out folds."""
    return fit_table(kinds_csv, target="kind", config=config_of(tables), out=tmp_path / "run").run


def change(content: dict, changes: dict) -> None:
    """Change values of model.json, wherever they stand."""
    for key, value in changes.items():
        content["learned" if key in content["learned"] else "model"][key] = value


def refused_by(content: dict, schema: Schema, tensors: dict[str, torch.Tensor]) -> None:
    """Read model.json, and check it against schema and tensors."""
    record = read_record(json.dumps(content).encode(), "model.json")
    check_fits(record, schema, tensors, "model.json")


HOSTILE = [
    {"folds": 0},
    {"folds": 4},
    {"folds": 7},
    {"folds": 10**7},
    {"folds": 2, "members_differ": "input"},
    {"members": 12},
    {"members": 7},
    {"members": 1},
    {"members": 0},
    {"members_differ": "layers"},
    {"members": 1200, "folds": 1200},
    {"norm": "layer"},
    {"residual": True},
    {"parametric_activation": True},
    {"n_blocks": 1},
    {"n_blocks": 3},
    {"d_block": 7},
]


@pytest.mark.parametrize("changes", HOSTILE, ids=str)
def test_a_hostile_ensemble_is_refused(run, tmp_path, changes):
    """A description of another ensemble than that of the tensors is refused."""
    files = verify_folder(run / "model")
    content = json.loads(files["model.json"])
    assert content["learned"]["folds"] == 3
    change(content, changes)
    commit_folder(tmp_path / "bad", {**files, "model.json": json.dumps(content).encode()})
    with pytest.raises(CheckpointError):
        load(tmp_path / "bad")
    load(run)


TOGETHER = {
    "square": lambda n: {"d_block": isqrt(n) - 1, "members": isqrt(n) - 5, "folds": 1},
    "wide": lambda n: {"n_blocks": 1, "d_block": n // 10, "members": 9},
    "columns": lambda n: {"n_blocks": 1, "d_block": n // 2, "n_num": n // 2, "members": 1},
    "linear": lambda n: {"n_blocks": 0, "members": n // 24, "n_num": 20, "folds": 1},
}


@pytest.mark.parametrize("case", TOGETHER)
def test_what_is_large_together_is_refused(run, case):
    """Sizes of which each fits the tensors, and all together do not, are refused."""
    files = verify_folder(run / "model")
    model = load(run)
    content = json.loads(files["model.json"])
    tensors = dict(model.model.state_dict())
    change(content, TOGETHER[case](sum(tensor.numel() for tensor in tensors.values())))
    with pytest.raises(CheckpointError, match="does not match"):
        refused_by(content, model.schema, tensors)


def test_a_table_of_folds_costs_no_more_than_the_tensors(run):
    """Members and folds whose table would be large are refused before it is made."""
    content = json.loads(verify_folder(run / "model")["model.json"])
    small = {"n_blocks": 0, "n_num": 0, "d_out": 1, "encodings": [], "has_missing": []}
    few = {"x": torch.zeros(100_000)}
    schema = replace(load(run).schema, columns=())
    change(content, small | {"members": 1_000, "folds": 1_000})
    refused_by(content, schema, few)
    change(content, {"members": 2_000, "folds": 2_000})
    with pytest.raises(CheckpointError, match="does not match"):
        refused_by(content, schema, few)


@pytest.mark.parametrize("n_blocks", [0, 1, 2])
@pytest.mark.parametrize("differ", ["weights", "input"])
@pytest.mark.parametrize(("d_block", "n_columns"), [(1, 1), (30, 1), (1, 40)])
def test_what_was_fitted_is_never_refused(tables, tmp_path, n_blocks, d_block, differ, n_columns):
    """However few numbers a network has, what describes it fits its tensors."""
    rng = np.random.default_rng(0)
    columns = {f"x{i}": [f"{x:.3f}" for x in rng.normal(size=50)] for i in range(n_columns)}
    table = tables.write(tmp_path / "a.csv", {**columns, "y": [f"{i * 0.5}" for i in range(50)]})
    folds = 5 if differ == "weights" else 1
    model = {"n_blocks": n_blocks, "d_block": d_block, "members_differ": differ, "members": 5}
    config = config_of(tables, folds=folds, **model)
    found = load(fit_table(table, target="y", config=config, out=tmp_path / "run").run)
    data = (tmp_path / "run" / "model" / "model.json").read_bytes()
    record = read_record(data, "model.json")

    assert (record.learned.folds, record.model.members) == (folds, 5)
    assert found.model.n_members == 5
    check_fits(record, found.schema, dict(found.model.state_dict()), "model.json")
    assert write_record(record) == data
