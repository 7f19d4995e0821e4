import json
import re
import signal

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from afina.errors import (
    AfinaWarning,
    ConfigError,
    Interrupted,
    LockedError,
    NonFiniteError,
    SchemaError,
    StorageError,
    TableError,
)
from afina.storage import lock_folder, verify_folder
from afina.tabular import fit_table, load
from afina.tabular.events import Finished, Learned, Read, Started
from afina.tabular.run import train_run
from afina.tabular.run.split_file import read_split
from afina.train import EvalEvent, StepEvent, StopEvent

FILES = {
    "config.toml",
    "env.json",
    "schema.json",
    "split.json",
    "run.json",
    "metrics.jsonl",
    "log.txt",
    "checkpoints",
    "model",
    "summary.json",
    "report.html",
}


def test_a_run_folder_is_complete(tables, kinds_csv, tmp_path, reports):
    """A fit leaves every file of the run folder, and a summary that says what was done."""
    outcome = fit_table(kinds_csv, target="kind", config=tables.config(), out=tmp_path / "run")
    run = outcome.run
    summary = json.loads((run / "summary.json").read_text())

    assert {path.name for path in run.iterdir()} - {".lock"} == FILES
    assert set(verify_folder(run / "model")) == {
        "model.safetensors",
        "schema.json",
        "config.toml",
        "model.json",
    }
    assert summary == outcome.summary
    assert summary["task"] == "multiclass"
    assert summary["rows"] == {"train": 96, "val": 24, "left_out": 0, "folds": 1}
    assert summary["on"] == "val"
    assert sum(map(sum, summary["confusion"]["counts"])) == 24
    assert summary["confusion"]["labels"] == ["cheap", "dear", "fair"]
    assert summary["score"]["name"] == "accuracy"
    assert set(summary["scores"]) == set(summary["baseline_scores"])
    assert summary["stop"]["reason"] == "max_epochs"


def test_records_come_in_order(tables, prices_csv, tmp_path):
    """An observer gets what was read, learned and started, then training, then the end."""
    told = []
    fit_table(
        prices_csv, target="price", config=tables.config(), out=tmp_path / "run", listen=told.append
    )
    kinds = [type(event) for event in told]

    assert kinds[:3] == [Read, Learned, Started]
    assert kinds[-1] is Finished
    assert {StepEvent, EvalEvent, StopEvent} <= set(kinds)
    learned = told[1]
    assert (learned.n_train, learned.n_val, learned.n_left_out) == (96, 24, 0)
    assert learned.task == "regression"
    assert learned.batch_size == 16


def test_scores_are_those_of_the_shipped_model(tables, prices_csv, tmp_path):
    """The summary's scores are what the loaded model scores on the held-out rows."""
    columns = tables.without(tables.make(120), "kind")
    outcome = fit_table(prices_csv, target="price", config=tables.config(), out=tmp_path / "run")
    val = read_split((outcome.run / "split.json").read_bytes(), "split.json")[1]
    held_out = tables.write(tmp_path / "val.csv", tables.reorder(columns, val))
    found = load(outcome.run).evaluate_table(held_out)

    assert found["scores"] == pytest.approx(outcome.summary["scores"], rel=1e-9)
    assert found["baseline_scores"] == pytest.approx(outcome.summary["baseline_scores"], rel=1e-9)


def hashes(run):
    return {
        name: data for name, data in verify_folder(run / "model").items() if name != "schema.json"
    }


def test_the_same_seed_gives_the_same_bytes(tables, kinds_csv, tmp_path):
    """Two fits with one seed agree in every byte of model and metrics."""
    runs = [
        fit_table(kinds_csv, target="kind", config=tables.config(), out=tmp_path / name).run
        for name in ("a", "b")
    ]
    metrics = [(run / "metrics.jsonl").read_bytes() for run in runs]

    assert hashes(runs[0]) == hashes(runs[1])
    assert metrics[0] == metrics[1]


def test_the_order_of_rows_changes_nothing(tables, tmp_path, rng):
    """A table with its rows shuffled gives the same bytes of weights, with a validation table."""
    columns = tables.without(tables.make(90), "price")
    val = tables.write(tmp_path / "val.csv", tables.without(tables.make(30, seed=1), "price"))
    runs = []
    for name, order in (("a", np.arange(90)), ("b", rng.permutation(90))):
        table = tables.write(tmp_path / f"{name}.csv", tables.reorder(columns, order))
        runs.append(
            fit_table(
                table, target="kind", config=tables.config(), val=val, out=tmp_path / name
            ).run
        )

    assert hashes(runs[0])["model.safetensors"] == hashes(runs[1])["model.safetensors"]


def test_a_weight_of_two_is_the_row_twice(tables, tmp_path, rng):
    """Whole weights give the same weights of the network as rows repeated, to the bit."""
    columns = tables.without(tables.make(80), "kind")
    weights = rng.integers(0, 4, 80)
    weighted = tables.write(
        tmp_path / "w.csv", {**columns, "count": [str(count) for count in weights]}
    )
    repeated = tables.write(
        tmp_path / "r.csv", tables.reorder(columns, np.repeat(np.arange(80), weights))
    )
    one = fit_table(
        weighted, target="price", config=tables.config(weight="count"), out=tmp_path / "one"
    )
    two = fit_table(repeated, target="price", config=tables.config(), out=tmp_path / "two")

    assert one.summary["rows"]["left_out"] == (weights == 0).sum()
    assert hashes(one.run)["model.safetensors"] == hashes(two.run)["model.safetensors"]
    assert one.summary["scores"] == pytest.approx(two.summary["scores"], rel=1e-12)


def test_rows_without_a_target_are_counted(tables, tmp_path):
    """Rows whose target is missing are left out, counted, and named in a note."""
    columns = tables.without(tables.make(100), "price")
    columns["kind"][3] = columns["kind"][50] = ""
    table = tables.write(tmp_path / "a.csv", columns)
    told = []
    outcome = fit_table(
        table, target="kind", config=tables.config(), out=tmp_path / "run", listen=told.append
    )

    assert outcome.summary["rows"]["left_out"] == 2
    assert any("2 rows are left out" in note for note in told[1].notes)


def test_few_rows_hold_nothing_out(tables, tmp_path):
    """With fewer than 40 distinct rows all train, and the scores say that they are on them."""
    table = tables.write(tmp_path / "a.csv", tables.without(tables.make(30), "kind"))
    told = []
    outcome = fit_table(
        table, target="price", config=tables.config(), out=tmp_path / "run", listen=told.append
    )

    assert outcome.summary["on"] == "train"
    assert outcome.summary["rows"] == {"train": 30, "val": 0, "left_out": 0, "folds": 1}
    assert any("nothing is held out" in note for note in told[1].notes)


def test_a_group_stays_on_one_side(tables, tmp_path):
    """Rows of one group are all held out or all trained on, and the group is no feature."""
    columns = tables.without(tables.make(120), "price")
    columns["shop"] = [f"s{number % 12}" for number in range(120)]
    table = tables.write(tmp_path / "a.csv", columns)
    outcome = fit_table(
        table, target="kind", config=tables.config(group="shop"), out=tmp_path / "run"
    )
    train, val, _ = read_split((outcome.run / "split.json").read_bytes(), "split.json")

    assert not {row % 12 for row in train} & {row % 12 for row in val}
    assert "shop" not in outcome.schema.names


def test_the_latest_rows_validate(tables, tmp_path):
    """With a time column, every held-out row is later than every training row."""
    columns = tables.without(tables.make(120), "price")
    table = tables.write(tmp_path / "a.csv", columns)
    outcome = fit_table(
        table, target="kind", config=tables.config(time="day"), out=tmp_path / "run"
    )
    train, val, _ = read_split((outcome.run / "split.json").read_bytes(), "split.json")
    days = np.array(columns["day"], dtype="datetime64[D]")

    assert days[train].max() < days[val].min()


@pytest.mark.parametrize(
    "scaling", ["minmax", "standard", "robust", "quantile", "none", "batchnorm"]
)
@pytest.mark.parametrize("categories", ["onehot", "ordinal", "embedding"])
def test_every_scaling_and_encoding_trains(tables, tmp_path, prices_csv, scaling, categories):
    """Each scaling with each encoding gives a model that loads and predicts finite numbers."""
    from afina.config import apply_settings

    config = apply_settings(
        tables.config(),
        [f"preprocess.scaling={scaling}", f"preprocess.categories={categories}"],
    )
    run = fit_table(prices_csv, target="price", config=config, out=tmp_path / "run").run
    found = load(run).predict_table(prices_csv)["prediction"].to_numpy()

    assert np.isfinite(found).all()


BAD = {
    "no target": (SchemaError, {"target": "kinds"}, "Did you mean 'kind'"),
    "weight twice": (SchemaError, {"target": "kind", "weight": "kind"}, "only one role"),
    "no group": (SchemaError, {"target": "kind", "group": "shops"}, "group column"),
    "monitor": (ConfigError, {"target": "kind", "monitor": "val/rmse"}, "val/accuracy"),
    "encoding": (SchemaError, {"target": "kind", "encodings": {"size": "onehot"}}, "numeric"),
    "kind": (SchemaError, {"target": "kind", "kinds": {"sizes": "numeric"}}, "size"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_leaves_nothing_behind(tables, kinds_csv, tmp_path, case):
    """A fit that is refused says why and makes no folder."""
    from dataclasses import replace

    error, asked, words = BAD[case]
    asked = dict(asked)
    target = asked.pop("target")
    config = tables.config(**{k: v for k, v in asked.items() if k in ("weight", "group", "kinds")})
    if "monitor" in asked:
        config = replace(config, stop=replace(config.stop, monitor=asked["monitor"]))
    if "encodings" in asked:
        config = replace(
            config, preprocess=replace(config.preprocess, encodings=asked["encodings"])
        )
    before = set(tmp_path.iterdir())
    with pytest.raises(error, match=re.escape(words)):
        fit_table(kinds_csv, target=target, config=config, out=tmp_path / "x" / "run")

    assert set(tmp_path.iterdir()) == before


def test_a_missing_table_is_named(tables, tmp_path):
    """A file that is not there is an error before anything is written."""
    with pytest.raises(TableError, match=r"none\.csv"):
        fit_table(tmp_path / "none.csv", target="y", config=tables.config(), out=tmp_path / "run")

    assert not any(tmp_path.iterdir())


def test_without_features_there_is_nothing_to_learn(tables, tmp_path):
    """A table whose columns are all constant but the target is refused, with each reason."""
    table = tables.write(
        tmp_path / "a.csv", {"a": ["1"] * 50, "y": [str(i % 2) for i in range(50)]}
    )
    with pytest.raises(SchemaError, match="column to learn from"):
        fit_table(table, target="y", config=tables.config(), out=tmp_path / "run")

    assert not (tmp_path / "run").exists()


def test_a_failure_in_training_takes_the_folder_away(tables, prices_csv, tmp_path, monkeypatch):
    """A run that fails before its first checkpoint leaves no folder, also none it made above."""

    def fail(*args, **others):
        raise NonFiniteError("The loss must be finite, however: it is not.")

    monkeypatch.setattr(train_run, "train_model", fail)
    with pytest.raises(NonFiniteError):
        fit_table(prices_csv, target="price", config=tables.config(), out=tmp_path / "x" / "run")

    assert not (tmp_path / "x").exists()


def test_an_interruption_says_how_to_go_on(tables, prices_csv, tmp_path, monkeypatch):
    """A run stopped after a checkpoint stays, and the message names the command."""

    def stop(plan, *, run_dir, **others):
        (run_dir / "checkpoints" / "step-00000001").mkdir(parents=True)
        raise Interrupted("SIGINT stopped the run.", 2)

    monkeypatch.setattr(train_run, "train_model", stop)
    with pytest.raises(Interrupted, match="afina resume") as caught:
        fit_table(prices_csv, target="price", config=tables.config(), out=tmp_path / "run")

    assert caught.value.exit_code == 130
    assert (tmp_path / "run" / "run.json").exists()


def test_what_is_there_is_not_overwritten(tables, prices_csv, tmp_path):
    """A folder that is taken is refused, and with overwrite too unless it is a run."""
    out = tmp_path / "run"
    out.mkdir()
    (out / "mine.txt").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(StorageError, match="new or empty folder"):
            fit_table(
                prices_csv, target="price", config=tables.config(), out=out, overwrite=overwrite
            )

    assert (out / "mine.txt").read_text() == "x"
    assert len(list(out.iterdir())) == 1


def test_overwriting_replaces_only_when_complete(
    tables, prices_csv, kinds_csv, tmp_path, monkeypatch
):
    """With overwrite the old run stays until the new one is whole, and then makes way."""
    out = tmp_path / "run"
    fit_table(prices_csv, target="price", config=tables.config(), out=out)
    with pytest.raises(StorageError, match="overwrite"):
        fit_table(kinds_csv, target="kind", config=tables.config(), out=out)
    with monkeypatch.context() as patch:
        patch.setattr(train_run, "train_model", _fail)
        with pytest.raises(NonFiniteError):
            fit_table(kinds_csv, target="kind", config=tables.config(), out=out, overwrite=True)
    assert load(out).target == "price"

    done = fit_table(kinds_csv, target="kind", config=tables.config(), out=out, overwrite=True)

    assert done.run == out
    assert load(out).target == "kind"
    assert {path.name for path in tmp_path.iterdir()} == {"run", "prices.csv", "kinds.csv"}


def test_a_run_in_use_is_not_overwritten(tables, prices_csv, tmp_path):
    """Overwriting a run that another writer holds is refused at once."""
    out = tmp_path / "run"
    fit_table(prices_csv, target="price", config=tables.config(), out=out)
    with lock_folder(out), pytest.raises(LockedError):
        fit_table(prices_csv, target="price", config=tables.config(), out=out, overwrite=True)

    assert load(out).target == "price"


def test_an_unwritable_folder_is_named(tables, prices_csv, tmp_path):
    """A run folder below a file cannot be made, and the message says so."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="writable"):
        fit_table(prices_csv, target="price", config=tables.config(), out=tmp_path / "file" / "run")


def test_typed_labels_stay_typed(tables, tmp_path):
    """Labels of a Parquet table come back in their own type, also beyond 2^53."""
    columns = tables.make(60)
    big = 2**53 + 1
    labels = [big if kind == "dear" else big + 1 for kind in columns["kind"]]
    table = pa.table(
        {"size": [float(i % 17) for i in range(60)], "y": pa.array(labels, pa.int64())}
    )
    pa.parquet.write_table(table, tmp_path / "a.parquet")
    run = fit_table(
        tmp_path / "a.parquet", target="y", config=tables.config(), out=tmp_path / "run"
    ).run
    found = load(run).predict_table(tmp_path / "a.parquet")

    assert found.schema.field("prediction").type == pa.int64()
    assert set(found["prediction"].to_pylist()) <= {big, big + 1}
    assert found.column_names == ["prediction", f"probability_{big}", f"probability_{big + 1}"]


def test_a_report_that_fails_costs_no_model(tables, prices_csv, tmp_path, monkeypatch):
    """Where the report cannot be written, a warning says so, and the run is whole."""
    from afina.report import page

    def fail(run):
        raise StorageError("No space.")

    monkeypatch.setattr(page, "write_report", fail)
    with pytest.warns(AfinaWarning, match=r"No space.*afina report"):
        done = fit_table(prices_csv, target="price", config=tables.config(), out=tmp_path / "run")

    assert load(done.run).target == "price"
    assert (done.run / "summary.json").exists()


def _fail(*args, **others):
    raise NonFiniteError("no")


def test_ctrl_c_after_training_says_how_to_go_on(tables, prices_csv, tmp_path):
    """Ctrl-C while results are written is no lost run: the message names the next command."""
    run = tmp_path / "run"

    def press(event: object) -> None:
        if isinstance(event, Finished):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match=f"afina resume {re.escape(str(run))}"):
        fit_table(prices_csv, target="price", config=tables.config(), out=run, listen=press)

    assert (run / "checkpoints").is_dir()
