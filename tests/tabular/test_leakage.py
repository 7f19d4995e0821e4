"""No statistic sees a validation row."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from afina.config import Config, PreprocessSettings
from afina.tabular import fit_table
from afina.tabular.prediction.artifact import load
from afina.tabular.run import train_run
from afina.tabular.run.split_file import read_split


def wild(columns: dict[str, list[str]], rows: np.ndarray) -> dict[str, list[str]]:
    """Change every feature value of some rows."""
    changed = {name: list(cells) for name, cells in columns.items()}
    other = {"color": "violet", "day": "1971-03-04", "code": "99999"}
    for row in rows:
        changed["size"][row] = f"98765{row}.5"  # rows stay different, or the split would change
        for name, value in other.items():
            assert changed[name][row] != value
            changed[name][row] = value
        changed["sunny"][row] = "true" if changed["sunny"][row] == "false" else "false"
    return changed


def statistics(run: Path) -> dict[str, str]:
    """Hash everything that a run fitted before training."""
    model = load(run).model
    found = {"schema.json": (run / "schema.json").read_bytes()}
    found |= {
        name: tensor.numpy().tobytes()
        for name, tensor in model.state_dict().items()
        if not name.startswith("network.")
    }
    found["spec"] = repr(model.preprocess.out_names).encode()
    return {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}


def config_for(tables, scaling: str) -> Config:
    quick = tables.config()
    return Config(
        table=quick.table,
        preprocess=PreprocessSettings(scaling=scaling, min_count=1),
        model=quick.model,
        train=quick.train,
    )


def fit_twice(tables, tmp_path: Path, target: str, other: str, config: Config) -> tuple[Path, Path]:
    """Fit on a table, and on the same with every value of its drawn validation rows changed."""
    columns = tables.without(tables.make(120), other)
    table = tables.write(tmp_path / "a.csv", columns)
    first = fit_table(table, target=target, config=config, out=tmp_path / "first").run
    val = read_split((first / "split.json").read_bytes(), "split.json")[1]
    assert val is not None
    assert len(val) > 20
    tables.write(table, wild(columns, val))
    second = fit_table(table, target=target, config=config, out=tmp_path / "second").run
    assert (first / "split.json").read_bytes() == (second / "split.json").read_bytes()
    return first, second


@pytest.mark.parametrize("scaling", ["robust", "quantile", "standard", "minmax"])
@pytest.mark.parametrize(("target", "other"), [("kind", "price"), ("price", "kind")])
def test_held_out_rows_leave_no_trace(tables, tmp_path, target, other, scaling):
    """Changing every feature value of held-out rows changes no byte of a fitted statistic."""
    first, second = fit_twice(tables, tmp_path, target, other, config_for(tables, scaling))

    assert statistics(first) == statistics(second)
    assert len(statistics(first)) >= 6


@pytest.mark.parametrize(("target", "other"), [("kind", "price"), ("price", "kind")])
def test_a_validation_file_leaves_no_trace(tables, tmp_path, target, other):
    """Changing every feature value of the rows of --val changes no byte of a fitted statistic."""
    table = tables.write(tmp_path / "a.csv", tables.without(tables.make(80), other))
    columns = tables.without(tables.make(40, seed=1), other)
    runs = []
    for name, cells in (("one", columns), ("two", wild(columns, np.arange(40)))):
        val = tables.write(tmp_path / f"{name}.csv", cells)
        out = fit_table(
            table, target=target, config=config_for(tables, "robust"), val=val, out=tmp_path / name
        )
        runs.append(out.run)

    assert statistics(runs[0]) == statistics(runs[1])


def test_the_targets_of_held_out_rows_leave_no_trace(tables, tmp_path):
    """Changing held-out targets changes no byte of the target's scale or another statistic."""
    table = tables.write(tmp_path / "a.csv", tables.without(tables.make(80), "kind"))
    columns = tables.without(tables.make(40, seed=1), "kind")
    runs = []
    for name, factor in (("one", 1.0), ("two", -1000.0)):
        cells = {**columns, "price": [str(factor * float(x)) for x in columns["price"]]}
        val = tables.write(tmp_path / f"{name}.csv", cells)
        out = fit_table(
            table, target="price", config=config_for(tables, "robust"), val=val, out=tmp_path / name
        )
        runs.append(out.run)

    assert statistics(runs[0]) == statistics(runs[1])


@pytest.mark.parametrize("fault", ["schema", "preprocess"])
def test_a_leak_is_seen(tables, tmp_path, monkeypatch, fault):
    """With schema or preprocessing fitted on all rows, the same comparison fails."""
    from afina.tabular.preparation import prepare

    if fault == "schema":
        learn = prepare.learn_schema

        def learn_from_all(given, train, config, notes):
            return learn(given, np.arange(len(given.weights)), config, notes)

        monkeypatch.setattr(prepare, "learn_schema", learn_from_all)
    else:
        plan = train_run.make_plan

        def plan_on_all(train, val, **others):
            both = {
                name: np.concatenate([getattr(train, name), getattr(val, name)])
                for name in ("x_num", "x_cat", "x_time", "y", "weights")
            }
            return plan(type(train)(**both), val, **others)

        monkeypatch.setattr(train_run, "make_plan", plan_on_all)
    first, second = fit_twice(tables, tmp_path, "price", "kind", config_for(tables, "robust"))
    one, two = statistics(first), statistics(second)
    changed = {name for name in one if one[name] != two.get(name)}

    assert changed >= ({"schema.json"} if fault == "schema" else {"preprocess.scale.center"})
