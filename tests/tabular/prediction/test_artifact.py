import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from afina.errors import AfinaError, CheckpointError
from afina.storage import commit_folder, load_tensors, save_tensors, verify_folder
from afina.tabular import fit_table, load


@pytest.fixture
def run(tables, kinds_csv, tmp_path) -> Path:
    return fit_table(kinds_csv, target="kind", config=tables.config(), out=tmp_path / "run").run


def rewrite(run: Path, goal: Path, **changes: bytes) -> Path:
    """Copy a model with some files changed, and a manifest that vouches for them."""
    files = verify_folder(run / "model")
    commit_folder(
        goal, {**files, **{name.replace("__", "."): data for name, data in changes.items()}}
    )
    return goal


def test_a_run_and_its_model_folder_load_alike(run, kinds_csv, tmp_path):
    """A run folder, its model folder, and a copy of the latter elsewhere give the same answers."""
    shutil.copytree(run / "model", tmp_path / "elsewhere")
    answers = [
        load(path).predict_table(kinds_csv) for path in (run, run / "model", tmp_path / "elsewhere")
    ]

    assert answers[0].equals(answers[1])
    assert answers[0].equals(answers[2])


def test_a_loaded_model_answers_as_the_trained_one(run, tables, kinds_csv, tmp_path):
    """Every tensor and every fact come back as they were saved."""
    files = verify_folder(run / "model")
    model = load(run)
    tensors = load_tensors(files["model.safetensors"], source="model")

    assert set(tensors) == set(model.model.state_dict())
    assert all(torch.equal(tensors[name], t) for name, t in model.model.state_dict().items())
    assert model.classes == ("cheap", "dear", "fair")
    assert (model.task, model.target) == ("multiclass", "kind")
    assert model.facts.n_train == 96
    assert sum(model.facts.baseline.shares) == pytest.approx(1)


@pytest.mark.parametrize("name", ["model.safetensors", "schema.json", "config.toml", "model.json"])
def test_a_changed_byte_is_refused(run, name):
    """A bit flipped anywhere in a file of the model is found."""
    path = run / "model" / name
    data = bytearray(path.read_bytes())
    for at in np.linspace(0, len(data) - 1, 7).astype(int):
        data[at] ^= 4
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match=name):
            load(run)
        data[at] ^= 4
    path.write_bytes(data)
    load(run)


@pytest.mark.parametrize("name", ["model.safetensors", "schema.json", "config.toml", "model.json"])
def test_a_missing_file_is_named(run, tmp_path, name):
    """A model without one of its files is refused, also where the manifest does not list it."""
    files = verify_folder(run / "model")
    del files[name]
    commit_folder(tmp_path / "less", files)
    (run / "model" / name).unlink()
    for path in (run, tmp_path / "less"):
        with pytest.raises(CheckpointError):
            load(path)


def test_what_is_no_model_is_refused(tmp_path):
    """A path that does not exist, an empty folder and a file are no model."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "none", tmp_path / "empty", tmp_path / "file"):
        with pytest.raises(CheckpointError, match="run folder or a model folder"):
            load(path)


def test_an_unfinished_run_says_how_to_go_on(run):
    """A run without a model names the command that finishes it."""
    shutil.rmtree(run / "model")
    with pytest.raises(CheckpointError, match="afina resume"):
        load(run)


HOSTILE = {
    "n_blocks": [10**6, -1, 2.5, "3", None],
    "d_block": [10**7, 0, 17],
    "d_out": [4, 10**9],
    "n_num": [0, 99, 10**9],
    "embedding_dim": [10**7, 0],
    "encodings": [[], ["onehot"] * 9, ["embedding"] * 3, ["hash"] * 3, 5],
    "has_missing": [[], [True] * 3],
    "activation": ["evil", 3],
    "norm": ["batch", "layer"],
    "residual": [True],
    "norm_eps": [float("inf"), 0],
    "extra": [1],
}


@pytest.mark.parametrize("key", HOSTILE)
def test_a_hostile_network_is_refused(run, tmp_path, key):
    """A description that does not fit the tensors is refused before it costs time or memory."""
    content = json.loads((run / "model" / "model.json").read_bytes())
    for number, bad in enumerate(HOSTILE[key]):
        changed = copy.deepcopy(content)
        parts = ("learned", "model", "preprocess")
        changed[next((part for part in parts if key in changed[part]), "model")][key] = bad
        goal = rewrite(run, tmp_path / f"{number}", model__json=json.dumps(changed).encode())
        with pytest.raises(CheckpointError):
            load(goal)


FACTS = {
    "format": [1, 3, "2", None],
    "by": ["eve"],
    "task": ["binary", "regression", "evil", 1],
    "classes": [[], ["a"], ["a", "a", "b"], ["a", "b", None], {"a": 1}, ["a", "b", ["c"]]],
    "shares": [[], [1, 2, 3], [0.1, 0.2, float("nan")]],
    "mean": [1.0, "x"],
    "target": [None, 7],
    "preprocess": [[], {"scaling": "evil"}],
    "model": [{"norm": "evil"}, None, {"extra": 1}],
    "learned": [{}, None, {"n_num": "1"}],
    "n_train": [-1, 1.5],
    "encoding": [None],
}


@pytest.mark.parametrize("key", FACTS)
def test_hostile_facts_are_refused(run, tmp_path, key):
    """A value of model.json that cannot be is refused, whatever the manifest says."""
    content = json.loads((run / "model" / "model.json").read_bytes())
    bad_values = [*FACTS[key], ...]
    for number, bad in enumerate(bad_values):
        changed = {**content, key: bad}
        if bad is ...:
            del changed[key]
        goal = rewrite(run, tmp_path / f"{number}", model__json=json.dumps(changed).encode())
        with pytest.raises(CheckpointError):
            load(goal)


@pytest.mark.parametrize("data", [b"", b"[]", b"nul", b"[" * 100_000, b"\xff\xfe", b'{"a": 1e999}'])
@pytest.mark.parametrize("name", ["model__json", "schema__json", "model__safetensors"])
def test_what_is_no_json_or_tensors_is_refused(run, tmp_path, name, data):
    """Files of another form are refused with our own error."""
    with pytest.raises(CheckpointError):
        load(rewrite(run, tmp_path / "bad", **{name: data}))


def test_hostile_tensors_are_refused(run, tmp_path):
    """Tensors that are missing, too many, of another shape or kind, or not finite are refused."""
    tensors = load_tensors(verify_folder(run / "model")["model.safetensors"], source="model")
    first = next(name for name in tensors if name.startswith("network.") and "weight" in name)
    marked = "preprocess.impute.marked"
    assert len(tensors[marked])
    cases = [
        {name: t for name, t in tensors.items() if name != first},
        {**tensors, "more": torch.zeros(1)},
        {**tensors, first: tensors[first].double()},
        {**tensors, first: tensors[first].flatten()},
        {**tensors, first: tensors[first] * float("nan")},
        {**tensors, marked: tensors[marked] + 10**12},
        {**tensors, marked: tensors[marked] - 10**12},
    ]
    for number, bad in enumerate(cases):
        goal = rewrite(run, tmp_path / f"{number}", model__safetensors=save_tensors(bad))
        with pytest.raises(CheckpointError):
            load(goal)


def test_another_models_schema_is_refused(run, tables, prices_csv, tmp_path):
    """A schema that names other columns than preprocessing is refused."""
    columns = tables.without(tables.make(120), "kind")
    columns["length"] = columns.pop("size")
    table = tables.write(tmp_path / "b.csv", columns)
    other = fit_table(table, target="price", config=tables.config(), out=tmp_path / "other").run
    schema = (other / "schema.json").read_bytes()
    with pytest.raises(AfinaError):
        load(rewrite(run, tmp_path / "bad", schema__json=schema))
