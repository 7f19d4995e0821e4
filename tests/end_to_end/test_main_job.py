"""The main job by the command line: fit, predict, evaluate, inspect, report, resume."""

import csv
import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest

from afina.config import Config, apply_settings, read_config
from afina.data import BUNDLED_TARGET, bundled_table


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def weights_of(run: str | Path) -> str:
    return hashlib.sha256((Path(run) / "model" / "model.safetensors").read_bytes()).hexdigest()


def test_a_first_fit(afina, tmp_path):
    """`afina fit` alone trains on the bundled table, well above the baseline."""
    done = afina("fit")
    run = tmp_path / done.out.strip()
    summary = json.loads((run / "summary.json").read_text())

    assert done.code == 0
    assert summary["score"]["name"] == "accuracy"
    assert summary["score"]["value"] > summary["score"]["baseline"] + 0.05
    assert summary["scores"]["auc"] > 0.8
    assert (run / "report.html").stat().st_size > 100_000
    for words in (
        "Income",
        "baseline",
        "afina predict",
        "afina evaluate",
        str(run.name),
    ):
        assert words in done.err
    assert summary["target"] == BUNDLED_TARGET
    assert afina("predict", run, bundled_table()).code == 0


def test_one_row_for_each_row(afina, loans, more_loans):
    """`predict` writes one row per input row, in order, with a probability for each class."""
    run = afina("fit", loans, "--target", "grade", quick=True).out.strip()
    done = afina("predict", run, more_loans)
    rows = read(done.out)

    assert done.code == 0
    assert len(rows) == 30
    assert list(rows[0]) == ["prediction", "probability_no", "probability_yes"]
    for row in rows:
        no, yes = float(row["probability_no"]), float(row["probability_yes"])
        assert no + yes == pytest.approx(1, abs=1e-7)  # each has the digits of a float32
        assert row["prediction"] == ("yes" if yes > no else "no")


def test_a_row_alone_is_answered_as_in_a_table(afina, loans, more_loans, tmp_path):
    """A file of one row gets the answer that the row gets among others, to 1e-6."""
    run = afina("fit", loans, "--target", "grade", quick=True).out.strip()
    whole = read(afina("predict", run, more_loans).out)
    lines = more_loans.read_text().splitlines()
    for number in (0, 5, 29):
        alone = tmp_path / "alone.csv"
        alone.write_text(f"{lines[0]}\n{lines[number + 1]}\n")
        found = read(afina("predict", run, alone).out)
        assert len(found) == 1
        assert float(found[0]["probability_yes"]) == pytest.approx(
            float(whole[number]["probability_yes"]), abs=1e-9
        )


def test_the_same_answers_from_every_form(afina, loans, tmp_path):
    """CSV, TSV, gzip, Parquet, Feather and Arrow of equal cells give the same schema and answers."""
    table = pa.csv.read_csv(
        loans,
        convert_options=pa.csv.ConvertOptions(
            column_types={name: pa.string() for name in ("income", "job", "since", "zip", "grade")}
        ),
    )
    pa.parquet.write_table(table, tmp_path / "a.parquet")
    pa.feather.write_feather(table, tmp_path / "a.feather")
    with (
        pa.OSFile(str(tmp_path / "a.arrow"), "wb") as file,
        pa.ipc.new_file(file, table.schema) as out,
    ):
        out.write_table(table)
    (tmp_path / "a.tsv").write_text(loans.read_text().replace(",", "\t"))
    with pa.CompressedOutputStream(str(tmp_path / "a.csv.gz"), "gzip") as file:
        file.write(loans.read_bytes())
    wanted = None
    for number, name in enumerate(
        ["loans.csv", "a.parquet", "a.feather", "a.arrow", "a.tsv", "a.csv.gz"]
    ):
        done = afina("fit", name, "--target", "grade", "--out", f"run{number}", quick=True)
        assert done.code == 0, done.err
        found = (weights_of(f"run{number}"), afina("predict", f"run{number}", "loans.csv").out)
        wanted = wanted or found
        assert found == wanted, name


def test_the_same_seed_gives_the_same_model(afina, loans, tmp_path, rng):
    """One seed, one sha256, also with the rows shuffled; another seed, another."""
    lines = loans.read_text().splitlines()
    shuffled = tmp_path / "shuffled.csv"
    shuffled.write_text("\n".join([lines[0], *(lines[1 + i] for i in rng.permutation(80))]) + "\n")
    val = tmp_path / "val.csv"
    val.write_text("\n".join([lines[0], *lines[1:20]]) + "\n")
    hashes = []
    for name, table, seed in (
        ("a", loans, 3),
        ("b", loans, 3),
        ("c", shuffled, 3),
        ("d", loans, 4),
    ):
        done = afina(
            "fit",
            table,
            "--target",
            "grade",
            "--val",
            val,
            "--seed",
            str(seed),
            "--out",
            name,
            quick=True,
        )
        assert done.code == 0, done.err
        hashes.append(weights_of(name))

    assert hashes[0] == hashes[1] == hashes[2]
    assert hashes[3] != hashes[0]


@pytest.mark.parametrize(
    "labels", [("01", "1"), ("yes", "no"), ("9007199254740993", "9007199254740992"), ("1.50", "2")]
)
def test_labels_letter_by_letter(afina, tmp_path, labels):
    """Labels come back as they stood in the table, in predictions and probability columns."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=70)
    (tmp_path / "a.csv").write_text(
        "x,y\n" + "".join(f"{value:.3f},{labels[int(value > 0)]}\n" for value in x)
    )
    done = afina("fit", "a.csv", "--target", "y", "--set", "train.max_epochs=20", quick=False)
    assert done.code == 0, done.err
    rows = read(afina("predict", done.out.strip(), "a.csv").out)

    assert {row["prediction"] for row in rows} == set(labels)
    assert {name for name in rows[0] if name != "prediction"} == {
        f"probability_{x}" for x in labels
    }
    right = [
        row["prediction"] == labels[int(value > 0)] for row, value in zip(rows, x, strict=True)
    ]
    assert np.mean(right) > 0.9


def test_evaluate_stands_beside_the_baseline(afina, loans, more_loans):
    """`evaluate` prints each score beside the baseline's; --json holds the same."""
    run = afina("fit", loans, "--target", "grade", quick=True).out.strip()
    done = afina("evaluate", run, more_loans)
    found = json.loads(afina("evaluate", run, more_loans, "--json").out)

    assert done.code == 0
    assert "accuracy" in done.out
    assert "baseline" in done.out
    assert set(found["scores"]) == set(found["baseline_scores"])
    assert found["rows"] == {"scored": 30, "left_out": 0}


def test_inspect_trains_nothing(afina, loans, tmp_path):
    """`inspect` shows each column's kind and reason, and leaves no file."""
    before = set(tmp_path.iterdir())
    done = afina("inspect", loans, "--target", "grade", "--json")
    found = json.loads(done.out)
    kinds = {column["name"]: column["kind"] for column in found["schema"]["columns"]}

    assert kinds == {
        "income": "numeric",
        "job": "categorical",
        "since": "datetime",
        "zip": "categorical",
    }
    assert set(tmp_path.iterdir()) == before


def test_a_kind_can_be_overruled(afina, loans):
    """`--kind` changes how a column is taken, and the run says so."""
    run = afina(
        "fit",
        loans,
        "--target",
        "grade",
        "--kind",
        "since=categorical",
        "--kind",
        "zip=ignored",
        quick=True,
    ).out.strip()
    schema = json.loads((Path(run) / "schema.json").read_text())
    kinds = {column["name"]: column["kind"] for column in schema["columns"]}

    assert (kinds["since"], kinds["zip"]) == ("categorical", "ignored")


def test_a_finished_run_is_not_changed(afina, loans):
    """`resume` on a finished run says so, succeeds, and changes no file."""
    run = Path(afina("fit", loans, "--target", "grade", quick=True).out.strip())
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    done = afina("resume", run)

    assert done.code == 0
    assert "finished" in done.err
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_a_run_is_never_overwritten_unasked(afina, loans):
    """A second fit into the same folder is refused; with --overwrite it takes the place."""
    assert afina("fit", loans, "--target", "grade", "--out", "run", quick=True).code == 0
    first = weights_of("run")
    refused = afina("fit", loans, "--target", "job", "--out", "run", quick=True)

    assert refused.code == 5
    assert weights_of("run") == first
    done = afina("fit", loans, "--target", "job", "--out", "run", "--overwrite", quick=True)
    assert done.code == 0, done.err
    assert json.loads(Path("run/summary.json").read_text())["target"] == "job"
    assert sorted(path.name for path in Path().iterdir()) == ["loans.csv", "run"]


@pytest.mark.parametrize(
    "setting",
    [
        "preprocess.categories=ordinal", "preprocess.categories=embedding", "preprocess.scaling=minmax", "preprocess.scaling=robust", "model.init=auto",
        "preprocess.scaling=standard", "preprocess.scaling=quantile", "preprocess.scaling=none",
        "preprocess.scaling=batchnorm", "preprocess.impute=mean", "model.norm=batch", "model.norm=layer",
        "model.norm=rms", "model.norm_place=pre", "model.norm_place=after", "model.dropout=0.5",
        "model.activation=selu", "model.activation=mish", "model.residual=true", "model.n_blocks=0",
        "model.init=xavier_uniform", "model.init=zeros", "model.init=constant", "train.optimizer=sgd",
        "train.optimizer=adam", "train.weight_decay=0.1", "train.l2=0.01", "train.schedule=cosine",
        "train.schedule=onecycle", "train.warmup_steps=5", "train.microbatch_size=7",
        "train.max_grad_norm=none", "train.label_smoothing=0.1", "train.threads=2", "stop.patience=1",
        "stop.patience=none", "stop.monitor=val/auc", "stop.min_delta=0.1", "checkpoint.every_steps=2",
        "checkpoint.keep_best=2", "checkpoint.every_epochs=1",
    ],
)  # fmt: skip
def test_every_trick_by_its_name(afina, loans, setting):
    """Each setting can be asked for by name, is kept in config.toml, and gives a model."""
    norm = ["--set", "model.norm=batch"] * ("norm_place" in setting)
    norm += ["--preset", "plain"] * ("norm" in setting or "residual" in setting)
    done = afina(
        "fit",
        loans,
        "--target",
        "grade",
        "--out",
        "run",
        *norm,
        quick=True,
        last=["--set", setting],
    )
    assert done.code == 0, done.err
    section, key = setting.split("=")[0].split(".")
    kept, asked = (
        getattr(getattr(config, section), key)
        for config in (read_config("run/config.toml"), apply_settings(Config(), [setting]))
    )

    assert kept == asked
    rows = read(afina("predict", "run", loans).out)
    assert all(0 <= float(row["probability_yes"]) <= 1 for row in rows)
    assert len(rows) == 80
