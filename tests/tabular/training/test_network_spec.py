"""A description in model.json costs no more than the tensors beside it."""

import json
from dataclasses import replace
from math import isqrt
from pathlib import Path

import numpy as np
import pytest
import torch

from afina.config import Config, ModelConfig
from afina.errors import CheckpointError
from afina.storage import commit_folder, verify_folder
from afina.tabular import fit_table, load
from afina.tabular.training.network_spec import read_spec, write_spec

PLAIN = {"norm": "none", "residual": False, "numeric_embedding": "none"}


def config_of(tables, *, folds: int = 3, **model: object) -> Config:
    """Return settings that train a small ensemble for an epoch."""
    quick = tables.config(val_frac=None, folds=folds)
    options = {"d_block": 6, "n_blocks": 2, "members": 6, "members_differ": "weights"}
    train = replace(quick.train, max_epochs=1)
    return replace(quick, model=ModelConfig(**PLAIN | options | model), train=train)


@pytest.fixture
def run(tables, kinds_csv, tmp_path) -> Path:
    """Return a run whose members leave out folds."""
    return fit_table(kinds_csv, target="kind", config=config_of(tables), out=tmp_path / "run").run


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
    assert content["network"]["folds"] == 3
    content["network"] |= changes
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
    network = json.loads(files["model.json"])["network"]
    tensors = dict(model.model.state_dict())
    changes = TOGETHER[case](sum(tensor.numel() for tensor in tensors.values()))
    with pytest.raises(CheckpointError, match="does not fit"):
        read_spec(network | changes, model.schema, tensors, "model.json")


def test_a_table_of_folds_costs_no_more_than_the_tensors(run):
    """Members and folds whose table would be large are refused before it is made."""
    network = json.loads(verify_folder(run / "model")["model.json"])["network"]
    model = load(run)
    small = network | {"n_blocks": 0, "n_num": 0, "d_out": 1, "encodings": [], "has_missing": []}
    few = {"x": torch.zeros(100_000)}
    schema = replace(model.schema, columns=())
    read_spec(small | {"members": 1_000, "folds": 1_000}, schema, few, "model.json")
    with pytest.raises(CheckpointError, match="does not fit"):
        read_spec(small | {"members": 2_000, "folds": 2_000}, schema, few, "model.json")


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
    network = json.loads((tmp_path / "run" / "model" / "model.json").read_bytes())["network"]

    assert (network["folds"], network["members"]) == (folds, 5)
    assert found.model.n_members == 5
    tensors = dict(found.model.state_dict())
    again = read_spec(network, found.schema, tensors, "model.json")
    assert write_spec(again) == network
