"""Folds from a table to its scores: each row is judged by the members that left it out."""

import copy
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

import afina
from afina import AfinaClassifier, AfinaRegressor
from afina.config import CheckpointPlan, Config, ModelSettings, StopSettings
from afina.errors import ConfigError
from afina.table import encode, read_table
from afina.tabular import fit_table, load, resume_run
from afina.tabular.prediction import exact_copy
from afina.tabular.prediction.predictor import Predictor
from afina.tabular.run.split_file import read_split
from afina.train import StepEvent

N_FOLDS, N_MEMBERS = 3, 6
OWN = {"members": N_MEMBERS, "members_differ": "weights"}
PLAIN = {"numeric_embedding": None}
QUICK = {"d_block": 12, "n_blocks": 2, "max_epochs": 4, "batch_size": 16, "lr": 0.01} | PLAIN


def config_of(tables, *, folds: int = N_FOLDS, model: dict | None = None, **table) -> Config:
    """Return settings that train a small ensemble for few epochs."""
    quick = tables.config(**{"val_frac": None, "folds": folds} | table)
    options = {"d_block": 12, "n_blocks": 2} | PLAIN | OWN | (model or {})
    return replace(quick, model=ModelSettings(**options))


def folds_of(run: Path) -> np.ndarray | None:
    """Read the fold of each training row from a run folder."""
    return read_split((run / "split.json").read_bytes(), "split.json").folds


def rows_of(run: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Read which rows train and which are held out."""
    return read_split((run / "split.json").read_bytes(), "split.json")[:2]


def spec_of(run: Path) -> dict[str, object]:
    """Read what the network of a run is built from."""
    content = json.loads((run / "model" / "model.json").read_bytes())
    return content["model"] | content["learned"]


def members_answers(model: Predictor, features) -> np.ndarray:
    """Compute what each member says of each row, in float64: probabilities, or numbers (n, k)."""
    whole = copy.deepcopy(model.model).double().eval()
    found = []
    with torch.no_grad():
        parts = map(torch.from_numpy, (features.x_num, features.x_cat, features.x_time))
        row = whole.network.input(*whole.inputs(*parts))
        body = whole.network.body
        n_same = row.shape[1] - body.n_members * body.d_own
        for j in range(body.n_members):
            first = n_same + j * body.d_own
            seen = torch.cat([row[:, :n_same], row[:, first : first + body.d_own]], dim=1)
            x = seen
            for stack in body.hidden:
                x = body.activation(functional.linear(x, stack.weight[j].T, stack.bias[j]))
            x = functional.linear(x, body.heads.weight[j].T, body.heads.bias[j])
            skip = getattr(body, "skip", None)
            if skip is not None:
                x = x + functional.linear(seen, skip.weight[j].T, skip.bias[j])
            found.append(x.softmax(1) if model.classes else whole.target(x[:, 0]))
    return torch.stack(found, dim=1).numpy()


def left_out_answers(model: Predictor, features, folds: np.ndarray) -> np.ndarray:
    """Average for each row the members that left its fold out."""
    own = members_answers(model, features)
    n_members = own.shape[1]
    fold_of = np.arange(n_members) // (n_members // (folds.max() + 1))
    return np.stack([own[row, fold_of == fold].mean(axis=0) for row, fold in enumerate(folds)])


def check_scores(found, answers: np.ndarray, y, classes, weights=None, rel: float = 1e-9) -> None:
    """Compare scores by name with those by their formulas."""
    if not classes:
        off = answers - np.array(y, dtype=float)
        rmse = np.sqrt(np.average(off**2, weights=weights))
        assert found["rmse"] == pytest.approx(rmse, rel=rel)
        assert found["mae"] == pytest.approx(np.average(np.abs(off), weights=weights), rel=rel)
        return
    codes = np.array([classes.index(label) for label in y])
    right = answers.argmax(axis=1) == codes
    losses = -np.log(answers[np.arange(len(codes)), codes])
    assert found["accuracy"] == pytest.approx(np.average(right, weights=weights), rel=rel)
    assert found["log_loss"] == pytest.approx(np.average(losses, weights=weights), rel=rel)


@pytest.mark.parametrize(("target", "other"), [("kind", "price"), ("price", "kind")])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_score_of_a_run_is_out_of_fold(tables, tmp_path, monkeypatch, target, other, weighted):
    """summary.json says what the loaded members score on rows that they left out, to 1e-9."""
    monkeypatch.setattr(exact_copy, "_NUMBERS_A_BATCH", 1)  # a few rows at a time
    columns = tables.without(tables.make(120), other)
    columns[target][7] = columns[target][100] = ""
    columns["w"] = [f"{i % 3 + 1}" if weighted else "1" for i in range(120)]
    table = tables.write(tmp_path / "a.csv", columns)
    config = config_of(tables, weight="w")
    run = fit_table(table, target=target, config=config, out=tmp_path / "run").run

    rows, val = rows_of(run)
    folds = folds_of(run)
    assert val is None
    assert rows.tolist() == [row for row in range(120) if row not in (7, 100)]
    assert np.ptp(np.bincount(folds, minlength=N_FOLDS)) <= 1
    model = load(run)
    features = encode(read_table(table).drop_columns([target, "w"]), model.schema, source="a.csv")
    features = replace(
        features,
        x_num=features.x_num[rows],
        x_cat=features.x_cat[rows],
        x_time=features.x_time[rows],
    )
    y, w = [columns[target][row] for row in rows], [float(columns["w"][row]) for row in rows]
    answers = left_out_answers(model, features, folds)
    summary = json.loads((run / "summary.json").read_text())
    assert summary["rows"] == {"train": 118, "val": 118, "left_out": 2, "folds": 3}
    assert summary["on"] == "val"
    check_scores(summary["scores"], answers, y, model.classes, w)

    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    best = next(
        {name.removeprefix("val/"): value for name, value in record.items()}
        for record in records
        if record["kind"] == "eval" and record["step"] == summary["stop"]["best_step"]
    )
    check_scores(best, answers, y, model.classes, w, rel=1e-4)
    together = members_answers(model, features).mean(axis=1)  # what a new row is answered
    np.testing.assert_allclose(model.predict_features(features, "a.csv"), together, rtol=1e-9)
    assert not np.allclose(answers, together, rtol=1e-3)
    np.testing.assert_allclose(model.predict_features(features, "a.csv", folds), answers, rtol=1e-9)


@pytest.mark.parametrize("kind", [AfinaClassifier, AfinaRegressor])
def test_an_estimator_is_judged_out_of_fold(kind, rng, tmp_path):
    """The history's best record is what the members score on rows that they left out."""
    x = rng.normal(size=(90, 3))
    y = (x[:, 0] > 0).astype(int) if kind is AfinaClassifier else 100 * x[:, 0]
    model = kind(**QUICK, **OWN, folds=N_FOLDS, run_dir=tmp_path / "run").fit(x, y)
    folds = folds_of(tmp_path / "run")
    none = np.empty((90, 0))
    features = afina.table.Features(x, none.astype(np.int64), none, ())
    answers = left_out_answers(model.predictor_, features, folds)
    best = model.history_[model.stop_.best_epoch - 1]

    assert (model.predictor_.facts.n_train, model.predictor_.facts.n_val) == (90, 90)
    classes = (0, 1) if kind is AfinaClassifier else ()
    check_scores(
        {name.removeprefix("val/"): value for name, value in best.items()},
        *(answers, y.tolist(), classes),
        rel=1e-4,
    )
    if classes:  # each class is in all folds alike
        assert all(np.ptp(np.bincount(folds[y == code])) <= 1 for code in classes)


def test_equal_rows_are_in_one_fold(tables, tmp_path):
    """A row that stands many times in a table is left out by the same members each time."""
    columns = tables.without(tables.make(60), "price")
    order = np.random.default_rng(0).integers(0, 60, 200)
    table = tables.write(tmp_path / "a.csv", tables.reorder(columns, order))
    run = fit_table(table, target="kind", config=config_of(tables), out=tmp_path / "run").run
    folds = folds_of(run)

    assert all(len(set(folds[order == row])) == 1 for row in set(order.tolist()))
    assert len(set(folds.tolist())) == N_FOLDS


@pytest.mark.parametrize("kind", [AfinaClassifier, AfinaRegressor])
def test_a_weight_of_two_is_the_row_twice(kind, rng):
    """Whole weights are repetition, to the last bit, also where rows are in folds."""
    x = rng.normal(size=(90, 3)).round(1)
    y = (x[:, 0] > 0).astype(int)
    weights = rng.integers(0, 4, 90)
    order = np.repeat(np.arange(90), weights)
    one, two = (kind(**QUICK, **OWN, folds=N_FOLDS) for _ in range(2))
    one.fit(x, y, sample_weight=weights)
    two.fit(x[order], y[order])

    assert np.array_equal(one.predict(x), two.predict(x))
    assert one.history_ == two.history_


def test_a_group_is_in_one_fold(tables, rng, tmp_path):
    """Rows of one group are left out by the same members, in tables and estimators."""
    columns = tables.without(tables.make(120), "kind")
    group = (np.arange(120) * 7 % 17).astype(str)
    table = tables.write(tmp_path / "a.csv", {**columns, "who": group.tolist()})
    config = config_of(tables, group="who")
    run = fit_table(table, target="price", config=config, out=tmp_path / "run").run
    x = rng.normal(size=(120, 2))
    AfinaRegressor(**QUICK, **OWN, folds=N_FOLDS, run_dir=tmp_path / "memory").fit(
        x, x[:, 0], groups=group
    )

    for folds in (folds_of(run), folds_of(tmp_path / "memory")):
        of_group = [set(folds[group == name].tolist()) for name in sorted(set(group))]
        assert {len(found) for found in of_group} == {1}
        assert set.union(*of_group) == {0, 1, 2}


def test_what_is_asked_for_besides_turns_folds_off(tables, prices_csv, tmp_path):
    """A share or a time to hold out, a table of its own, one member or none of its own weights."""
    val = tables.write(tmp_path / "val.csv", tables.without(tables.make(40, seed=1), "kind"))
    cases = {
        "val": (config_of(tables), val, None),
        "time": (config_of(tables, time="day"), None, 24),
        "share": (config_of(tables, val_frac=0.25), None, 30),
        "one": (config_of(tables, model={"members": 1}), None, 24),
        "input": (config_of(tables, model={"members_differ": "input"}), None, 24),
        "off": (config_of(tables, folds=1), None, 24),
    }
    for name, (config, val_table, n_val) in cases.items():
        run = fit_table(
            prices_csv, target="price", config=config, val=val_table, out=tmp_path / name
        ).run
        train, held_out = rows_of(run)
        assert folds_of(run) is None, name
        assert spec_of(run)["folds"] == 1
        assert (None if held_out is None else len(held_out)) == n_val
        assert len(train) == 120 - (n_val or 0)


def test_rows_of_ones_own_turn_folds_off(rng):
    """With X_val all rows of X train, and the history is of X_val, by all members."""
    x = rng.normal(size=(100, 3))
    y = x[:, 0] * 2
    model = AfinaRegressor(**QUICK, **OWN, folds=N_FOLDS)
    model.fit(x[:60], y[:60], X_val=x[60:], y_val=y[60:])
    best = model.history_[model.stop_.best_epoch - 1]

    assert (model.predictor_.facts.n_train, model.predictor_.facts.n_val) == (60, 40)
    error = np.sqrt(np.mean((model.predict(x[60:]) - y[60:]) ** 2))
    assert best["val/rmse"] == pytest.approx(error, rel=1e-5)


def test_few_rows_are_not_put_in_folds(tables, tmp_path):
    """With fewer than 40 different rows nothing is held out, and all members learn from all."""
    columns = tables.without(tables.make(39), "kind")
    table = tables.write(tmp_path / "a.csv", tables.reorder(columns, np.repeat(np.arange(39), 3)))
    done = fit_table(table, target="price", config=config_of(tables), out=tmp_path / "run")

    assert folds_of(done.run) is None
    assert rows_of(done.run)[1] is None
    assert (spec_of(done.run)["folds"], spec_of(done.run)["members"]) == (1, N_MEMBERS)
    assert done.summary["on"] == "train"
    model = load(done.run)
    features = encode(read_table(table).drop_columns(["price"]), model.schema, source="a.csv")
    together = members_answers(model, features).mean(axis=1)
    check_scores(done.summary["scores"], together, np.repeat(columns["price"], 3), ())


def test_fewer_groups_than_folds_are_held_out(tables, tmp_path):
    """Where groups do not suffice for the folds, some of them are held out."""
    columns = tables.without(tables.make(80), "kind") | {"who": [str(i % 4) for i in range(80)]}
    table = tables.write(tmp_path / "a.csv", columns)
    config = config_of(tables, folds=6, group="who")
    run = fit_table(table, target="price", config=config, out=tmp_path / "run").run

    train, held_out = rows_of(run)
    assert folds_of(run) is None
    assert spec_of(run)["folds"] == 1
    assert len(set(held_out % 4)) == 1
    assert not set(held_out % 4) & set(train % 4)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"members": 4}, r"model\.members must be a multiple of table\.folds"),
        ({"norm": "layer"}, "blocks must be plain; got norm=layer"),
        ({"residual": True}, "blocks must be plain; got .*residual=true"),
    ],
)
def test_what_cannot_be_is_refused(tables, prices_csv, rng, tmp_path, wrong, words):
    """Settings that cannot go with folds are named, and nothing is written."""
    config = config_of(tables, model=wrong)
    with pytest.raises(ConfigError, match=words):
        fit_table(prices_csv, target="price", config=config, out=tmp_path / "run")
    with pytest.raises(ConfigError, match=words):
        AfinaRegressor(**QUICK | OWN | wrong, folds=N_FOLDS).fit(
            rng.normal(size=(50, 2)), range(50)
        )

    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"microbatch_size": 4},
        {"microbatch_size": "auto"},
        {"precision": "bf16"},
        {"averaging": "ema", "ema_decay": "auto"},
        {"averaging": "swa"},
        {"lr": "find"},
        {"scaling": "batchnorm"},
        {"scaling": "batchnorm", "batchnorm": "window", "microbatch_size": 4},
        {"numeric_embedding": "piecewise"},
        {"feature_scale": True},
        {"n_blocks": 0},
        {"init": "auto"},
        {"patience_extends_while": "grokking"},
        {"target_transform": "quantile"},
        {"monitor": "val/r2"},
    ],
)
def test_every_way_of_training_takes_folds(settings, rng):
    """Whatever else is asked for, the best record is of the members that the fit ends on."""
    x = rng.normal(size=(80, 3))
    y = np.exp(x[:, 0])
    model = AfinaRegressor(**QUICK | OWN | settings, folds=N_FOLDS)
    model.fit(x, y)
    history = [record["val/rmse"] for record in model.history_]

    assert np.isfinite(history).all()
    assert model.predictor_.facts.n_val == 80
    assert model.predict(x).std() > 0


def test_the_average_of_an_epoch(rng):
    """`ema_decay = "auto"` is one less one over the steps of an epoch, to the last bit."""
    x = rng.normal(size=(80, 3))
    settings = QUICK | OWN | {"folds": N_FOLDS, "batch_size": 40, "max_epochs": 12}
    found = [
        AfinaRegressor(**settings, averaging="ema", ema_decay=decay).fit(x, x[:, 0]).predict(x)
        for decay in ("auto", 0.5, 0.7)
    ]

    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


class Killed(BaseException):
    """Stands for a process that is gone: nothing may catch it."""


def digest(run: Path) -> dict[str, str]:
    """Hash what a run came to."""
    names = ["metrics.jsonl", "schema.json", "split.json", "model/model.safetensors"]
    found = {name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in names}
    summary = json.loads((run / "summary.json").read_text())
    del summary["seconds"]
    return found | {"summary": json.dumps(summary)}


@pytest.mark.parametrize(("step", "averaging"), [(3, "none"), (9, "ema"), (17, "none")])
def test_a_killed_run_ends_as_the_uninterrupted_one(tables, kinds_csv, tmp_path, step, averaging):
    """Killed at any step and resumed, a run with folds ends with the same bits."""

    def listen(event: object) -> None:
        if isinstance(event, StepEvent) and event.step == step:
            raise Killed

    config = config_of(tables, model={"dropout": 0.2})
    config = replace(
        config,
        train=replace(config.train, averaging=averaging),
        stop=StopSettings(patience=2),
        checkpoint=CheckpointPlan(every_steps=2, every_minutes=None),
    )
    options = {"target": "kind", "config": config}
    whole = fit_table(kinds_csv, **options, out=tmp_path / "whole").run
    with pytest.raises(Killed):
        fit_table(kinds_csv, **options, out=tmp_path / "run", listen=listen)
    assert not (tmp_path / "run" / "model").exists()
    resume_run(tmp_path / "run")

    assert folds_of(tmp_path / "run") is not None
    assert digest(tmp_path / "run") == digest(whole)


def test_other_folds_are_refused_on_resuming(tables, kinds_csv, tmp_path):
    """A config.toml that gives other folds than those the run began with is refused."""

    def listen(event: object) -> None:
        if isinstance(event, StepEvent) and event.step == 5:
            raise Killed

    config = replace(config_of(tables), checkpoint=CheckpointPlan(every_steps=2))
    run = tmp_path / "run"
    with pytest.raises(Killed):
        fit_table(kinds_csv, target="kind", config=config, out=run, listen=listen)
    text = (run / "config.toml").read_text()
    assert f"folds = {N_FOLDS}" in text
    (run / "config.toml").write_text(text.replace(f"folds = {N_FOLDS}", "folds = 2"))
    with pytest.raises(ValueError, match="began"):
        resume_run(run)
    (run / "config.toml").write_text(text)
    resume_run(run)
