"""Embedded numbers, members and target transforms in whole fits: the promises of every fit hold."""

import copy
import hashlib
import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import afina
from afina.config import apply_settings
from afina.errors import CheckpointError
from afina.optim import optimizer_from
from afina.storage import commit_folder, verify_folder
from afina.table import read_table
from afina.tabular import fit_table, load
from afina.tabular.run.split_file import read_split
from afina.tabular.training.plan import has_lr_factors

RICH = [
    "model.members=4",
    "model.members_differ=input",
    "model.numeric_embedding=piecewise",
    "model.n_bins=6",
    "model.d_numeric=4",
    "model.feature_scale=true",
    "model.parametric_activation=true",
    "preprocess.embedding_dim=auto",
    "preprocess.onehot_max=3",
    "experimental.scale_lr_factor=6",
    "experimental.bias_lr_factor=0.1",
]
SETTINGS = {
    "input": [*RICH, "experimental.schedule=coslog4"],
    "linear": [*RICH, "model.members_differ=linear"],
    "block": [*RICH, "model.members_differ=block", "experimental.schedule=flat_cos"],
    "layers": [*RICH, "model.members_differ=layers", "model.norm=batch", "model.residual=true"],
    "periodic": [*RICH, "model.members=1", "model.numeric_embedding=periodic"],
}


def config_for(tables, name: str, *more: str, **table: object):
    return apply_settings(tables.config(**table), [*SETTINGS[name], *more])


def digest(run: Path, name: str = "model.safetensors") -> str:
    return hashlib.sha256((run / "model" / name).read_bytes()).hexdigest()


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("target", ["kind", "price"])
def test_a_fit_keeps_its_promises(tables, tmp_path, name, target):
    """Bytes repeat, the artifact gives the trained model's answers, a row alone is as in a batch."""
    other = {"kind": "price", "price": "kind"}[target]
    table = tables.write(tmp_path / "a.csv", tables.without(tables.make(120), other))
    more = [] if target == "kind" else ["preprocess.target_transform=quantile"]
    config = config_for(tables, name, *more)
    runs = [
        fit_table(table, target=target, config=config, out=tmp_path / out) for out in ("a", "b")
    ]
    model = load(runs[0].run)
    rows = read_table(table)
    answers = model.predict_proba(rows) if target == "kind" else model.predict(rows)
    answer = model.predict_proba if target == "kind" else model.predict

    assert digest(runs[0].run) == digest(runs[1].run)
    for row in range(0, 120, 17):
        # To what all answers span: one near 0 has been added up from larger numbers.
        close = 1e-11 * np.ptp(answers)
        np.testing.assert_allclose(answer(rows.slice(row, 1))[0], answers[row], rtol=0, atol=close)
    if target == "kind":
        np.testing.assert_allclose(answers.sum(axis=1), 1, rtol=1e-12)
    val = read_split((runs[0].run / "split.json").read_bytes(), "split.json")[1]
    scores = runs[0].summary["scores"]
    y = np.array(rows.column(target).to_pylist())[val]
    if target == "kind":
        assert scores["accuracy"] == pytest.approx(np.mean(model.predict(rows)[val] == y))
    else:
        assert scores["rmse"] == pytest.approx(
            np.sqrt(np.mean((answers[val] - y.astype(float)) ** 2))
        )


@pytest.mark.parametrize("transform", ["none", "log", "quantile"])
def test_a_weight_of_two_is_the_row_twice(tables, tmp_path, rng, transform):
    """Edges, target transform and all: whole weights give the same bytes as rows repeated."""
    columns = tables.without(tables.make(80), "kind")
    weights = rng.integers(0, 4, 80)
    weighted = tables.write(tmp_path / "w.csv", {**columns, "n": [str(n) for n in weights]})
    repeated = tables.write(
        tmp_path / "r.csv", tables.reorder(columns, np.repeat(np.arange(80), weights))
    )
    more = [f"preprocess.target_transform={transform}", "preprocess.clip_predictions=true"]
    runs = [
        fit_table(
            path,
            target="price",
            config=config_for(tables, "input", *more, **table),
            out=tmp_path / path.stem,
        )
        for path, table in ((weighted, {"weight": "n"}), (repeated, {}))
    ]

    assert digest(runs[0].run) == digest(runs[1].run)


def fitted_statistics(run: Path) -> dict[str, bytes]:
    """Return what was fitted before training: all but trained parameters."""
    model = load(run).model
    trained = {name for name, _ in model.named_parameters()}
    found = {
        name: tensor.numpy().tobytes()
        for name, tensor in model.state_dict().items()
        if name not in trained
    }
    content = json.loads((run / "model" / "model.json").read_bytes())
    return {**found, "learned": json.dumps(content["learned"]).encode()}


@pytest.mark.parametrize("fault", [False, True])
def test_held_out_rows_leave_no_trace(tables, tmp_path, monkeypatch, fault):
    """Other held-out rows change no byte of edges, transform and range; fitted on all they do."""
    table = tables.write(tmp_path / "a.csv", tables.without(tables.make(90), "kind"))
    config = config_for(
        tables, "input", "preprocess.target_transform=quantile", "preprocess.clip_predictions=true"
    )
    if fault:
        from afina.tabular.run import train_run

        plan = train_run.make_plan

        def plan_on_all(train, val, **others):
            both = {
                name: np.concatenate([getattr(train, name), getattr(val, name)])
                for name in ("x_num", "x_cat", "x_time", "y", "weights")
            }
            return plan(type(train)(**both), val, **others)

        monkeypatch.setattr(train_run, "make_plan", plan_on_all)
    found = []
    for seed in (1, 2):
        val = tables.write(
            tmp_path / f"{seed}.csv", tables.without(tables.make(40, seed=seed), "kind")
        )
        run = fit_table(table, target="price", config=config, val=val, out=tmp_path / f"run{seed}")
        found.append(fitted_statistics(run.run))
    changed = {name for name in found[0] if found[0][name] != found[1].get(name)}

    kept = {"network.input.numbers.embedding.left", "target.transform.knots", "target.low"}
    assert kept <= found[0].keys()
    assert changed >= kept if fault else changed == set()


@pytest.mark.parametrize(
    ("settings", "monitor"),
    [
        ([], "val/loss"),
        (["preprocess.target_transform=log"], "val/rmse"),
        (["preprocess.clip_predictions=true"], "val/rmse"),
        (["preprocess.target_transform=quantile", "stop.monitor=mae"], "val/mae"),
    ],
)
def test_what_decides_is_in_the_targets_units(tables, prices_csv, tmp_path, settings, monitor):
    """With a transform the monitored loss becomes the RMSE, in the units of the table."""
    config = apply_settings(tables.config(), [*settings, "train.max_epochs=40"])
    done = fit_table(prices_csv, target="price", config=config, out=tmp_path / "run")
    stop, scores = done.summary["stop"], done.summary["scores"]

    assert stop["monitor"] == monitor
    if monitor != "val/loss":
        assert stop["best"] == pytest.approx(scores[monitor.removeprefix("val/")], rel=1e-4)
    assert scores["rmse"] < done.summary["baseline_scores"]["rmse"]


def test_auto_of_an_even_target_is_none(tables, prices_csv, tmp_path):
    """`auto` says in model.json what it came to."""
    config = apply_settings(tables.config(), ["preprocess.target_transform=auto"])
    run = fit_table(prices_csv, target="price", config=config, out=tmp_path / "run").run
    content = json.loads((run / "model" / "model.json").read_bytes())

    assert content["preprocess"]["target_transform"] is None


HOSTILE = {
    "members": [10**7, 0, 5],
    "members_differ": ["layers", "evil"],
    "n_bins": [[], [10**6], [10**6] * 2, [3, 3], [6]],
    "embedded": [[], [0], [0, 0], [99, 100], [10**7, 1]],
    "d_numeric": [10**7, 0, 5],
    "numeric_embedding": [None, "none", "periodic", "evil"],
    "n_target_knots": [1001, -1],
    "target_transform": ["quantile", "log", "evil"],
    "clip_predictions": [True, "yes"],
    "feature_scale": [False],
    "parametric_activation": [False],
    "embedding_dim": [8, "none", 10**7],
    "frequency_sigma": [0.0, float("inf")],
}


def test_a_hostile_network_is_refused(tables, kinds_csv, tmp_path):
    """A description that does not fit the tensors is refused before it costs time or memory."""
    run = fit_table(
        kinds_csv, target="kind", config=config_for(tables, "input"), out=tmp_path / "run"
    ).run
    files = verify_folder(run / "model")
    content = json.loads(files["model.json"])
    for key, values in HOSTILE.items():
        for number, bad in enumerate(values):
            changed = copy.deepcopy(content)
            part = next(part for part in ("learned", "model", "preprocess") if key in changed[part])
            changed[part][key] = bad
            goal = tmp_path / f"{key}-{number}"
            commit_folder(goal, {**files, "model.json": json.dumps(changed).encode()})
            with pytest.raises(CheckpointError):
                load(goal)


def test_a_model_of_an_earlier_format_is_named(tables, kinds_csv, tmp_path):
    """A model of the format before is refused by its format, with what to do."""
    run = fit_table(kinds_csv, target="kind", config=tables.config(), out=tmp_path / "run").run
    files = verify_folder(run / "model")
    content = json.loads(files["model.json"]) | {"format": 1, "network": {}}
    commit_folder(tmp_path / "old", {**files, "model.json": json.dumps(content).encode()})
    with pytest.raises(CheckpointError, match=r"got format 1, of an earlier version.*Fit again"):
        load(tmp_path / "old")


def test_the_learning_rate_can_be_found_with_factors(tables, kinds_csv, tmp_path):
    """A range test keeps the ratios of the groups' rates."""
    config = config_for(tables, "input", "train.lr=find")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = fit_table(kinds_csv, target="kind", config=config, out=tmp_path / "run")
    optimizer = optimizer_from(replace(config.train, lr=0.5), torch.nn.Linear(2, 2))

    assert done.summary["stop"]["reason"] == "max_epochs"
    assert has_lr_factors(config.train)
    assert not has_lr_factors(tables.config().train)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.05]


def test_a_table_trains_in_half_precision_with_parametric_activations() -> None:
    """A fit with `parametric_activation` and `precision="bf16"` ends in a model."""
    x = np.random.default_rng(0).normal(size=(80, 3))
    settings = {"members": 1, "parametric_activation": True, "precision": "bf16", "max_epochs": 2}
    model = afina.AfinaClassifier(**settings).fit(x, x[:, 0] > 0)

    assert np.isfinite(model.predict_proba(x)).all()
