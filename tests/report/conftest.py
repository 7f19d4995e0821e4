"""Run folders as `afina fit` leaves them, made up: no training is needed to test a report."""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Record = dict[str, Any]

CONFIG = """[table]
task = "auto"
val_frac = 0.2

[train]
seed = 0
max_epochs = 256
lr = 0.001
max_grad_norm = 1.0

[stop]
patience = 16
monitor = "val/loss"
"""


ENV = {
    "format": 1, "afina": "0.1.0", "python": "3.11.9", "torch": "2.13.0", "numpy": "2.4.0",
    "pyarrow": "22.0.0", "scikit-learn": "1.8.0", "platform": "Linux", "machine": "x86_64",
    "processor": "", "cpu_capability": "AVX2", "n_cpus": 2, "threads": 1, "device": "cpu",
}  # fmt: skip
SPLIT = {
    "format": 1, "how": "20 % by class, seed 0", "n_rows": 4454, "train": "eJz" * 90,
    "val": None, "sha256": "3" * 64,
}  # fmt: skip


def column(name: str, kind: str = "numeric", **more: Any) -> Record:
    """Make a column of schema.json."""
    why = {"numeric": "every value is a number", "categorical": "4 distinct words"}.get(kind, "")
    return {"name": name, "kind": kind, "why": why, **more}


def training(
    n_epochs: int, best: int, per_epoch: int = 14, high: float = 0.7, low: float = 0.45
) -> list[Record]:
    """Make the records of a training that overfits after epoch `best`."""
    rng = random.Random(0)
    records: list[Record] = []
    step = 0
    for epoch in range(1, n_epochs + 1):
        train = low * 0.7 + (high - low * 0.7) * math.exp(-epoch / 12)
        for _ in range(per_epoch):
            step += 1
            lr = 0.001 * min(1.0, step / 40)
            norm = math.exp(rng.gauss(0.4 - epoch / 30, 0.5))
            loss = train + rng.gauss(0, 0.05)
            records.append(
                {"kind": "step", "step": step, "epoch": epoch - 1, "train/loss": loss, "lr": lr,
                 "grad_norm": norm}
            )  # fmt: skip
        records.append({"kind": "epoch", "step": step, "epoch": epoch, "train/loss": train})
        val = low + (high - low) * math.exp(-epoch / 8) + max(epoch - best, 0) * 0.004
        val += 0.003 * (epoch != best)
        records.append(
            {"kind": "eval", "step": step, "epoch": epoch, "val/loss": val,
             "val/accuracy": 1 - val * 0.45, "val/rmse": 900 * val}
        )  # fmt: skip
    records.append(
        {"kind": "stop", "step": step, "epoch": n_epochs, "reason": "patience",
         "why": f"val/loss has not improved for {n_epochs - best} evaluations",
         "monitor": "val/loss", "best": low + (high - low) * math.exp(-best / 8),
         "best_step": best * per_epoch, "best_epoch": best}
    )  # fmt: skip
    return records


def summary(task: str, target: str, records: list[Record], **more: Any) -> Record:
    """Make summary.json."""
    made: Record = {
        "format": 1, "task": task, "target": target, "table": "data/credit.csv",
        "rows": {"train": 3564, "val": 890, "left_out": 0},
        "score": {"name": "accuracy", "value": 0.8146, "baseline": 0.7191,
                  "higher_is_better": True, "baseline_is": "always 'good', the most common class"},
        "scores": {"accuracy": 0.8146, "log_loss": 0.4312, "roc_auc": 0.8441},
        "baseline_scores": {"accuracy": 0.7191, "log_loss": 0.5938, "roc_auc": 0.5},
        "on": "val", "stop": {k: v for k, v in records[-1].items() if k != "kind"},
        "confusion": None, "scatter": None, "seconds": 11.4,
    }  # fmt: skip
    return made | more


def credit_columns() -> list[Record]:
    """Make the columns of a table of loans."""
    levels = ["ignore", "other", "owner", "parents", "priv", "rent"]
    return [
        column("Seniority", minimum=0.0, maximum=48.0, missing_frac=0.0, n_unique=47),
        column("Home", "categorical", vocabulary=levels, missing_frac=0.0014, n_unique=6),
        column("Income", minimum=6.0, maximum=959.0, missing_frac=0.0855, n_unique=353),
        column("Größe (€)", minimum=0.5, maximum=1234.56, missing_frac=0.0003, n_unique=900),
        column("año", "categorical", vocabulary=["sí", "no"], missing_frac=0.0, n_unique=2),
        column("bought", "datetime", minimum=1514764800.0, maximum=1672531199.0, n_unique=1200),
        column("Id", "ignored", missing_frac=0.0, n_unique=3564, why="a number a row"),
    ]


def binary() -> Record:
    """Two classes, stopped by patience."""
    records = training(44, 28)
    confusion = {"labels": ["bad", "good"], "counts": [[131, 119], [46, 594]]}
    return {
        "schema.json": {"format": 1, "columns": credit_columns()},
        "metrics.jsonl": records,
        "summary.json": summary("binary", "Status", records, confusion=confusion),
    }


def multiclass(n: int = 12) -> Record:
    """`n` species, some of them taken for their neighbour."""
    rng = random.Random(1)
    names = ["Quercus robur", "Acer", "Tilia cordata", "Fagus sylvatica", "Betula", "Salix alba"]
    labels = [names[i] if i < len(names) else f"species {i + 1}" for i in range(n)]
    counts = [[0] * n for _ in range(n)]
    for i in range(n):
        counts[i][i] = rng.randrange(40, 90)
        for _ in range(3):
            counts[i][rng.randrange(n)] += rng.randrange(0, 25)
    records = training(60, 59, high=2.4, low=0.5)
    return {
        "schema.json": {"format": 1, "columns": credit_columns()},
        "metrics.jsonl": records,
        "summary.json": summary(
            "multiclass", "Baumart", records, table="bäume.csv",
            confusion={"labels": labels, "counts": counts},
        ),
    }  # fmt: skip


def regression(n: int = 890) -> Record:
    """A price with noise that grows with it."""
    rng = random.Random(2)
    true = [math.exp(rng.gauss(8, 0.6)) for _ in range(n)]
    predicted = [t * math.exp(rng.gauss(0, 0.12)) for t in true]
    records = training(120, 90, high=1.1, low=0.004)
    score = {"name": "rmse", "value": 512.3, "baseline": 2103.9, "higher_is_better": False,
             "baseline_is": "always the mean of the training rows, 3512.2"}  # fmt: skip
    return {
        "schema.json": {"format": 1, "columns": credit_columns()},
        "metrics.jsonl": records,
        "summary.json": summary(
            "regression", "Precio", records, table="C:\\daten\\autos.csv", score=score,
            scores={"rmse": 512.3, "mae": 301.9, "r2": 0.94},
            baseline_scores={"rmse": 2103.9, "mae": 1633.2, "r2": 0.0},
            scatter={"true": true, "predicted": predicted},
        ),
    }  # fmt: skip


def unfinished() -> Record:
    """Killed in epoch 10, while a record was being written."""
    made = binary()
    lines = [json.dumps(record) for record in made["metrics.jsonl"][:150]]
    return {
        "run.json": {
            "format": 1, "by": "afina", "val": None, "target": "Status", "threads": 1,
            "table": {"path": "/data/credit.csv", "size": 9, "sha256": "0" * 64},
            "batch_size": 256, "lr": 0.001, "schema_sha256": "1" * 64, "split_sha256": "2" * 64,
        },
        "schema.json": made["schema.json"],
        "metrics.jsonl": "\n".join([*lines, '{"kind": "step", "st']),
    }  # fmt: skip


HOSTILE = "</script><script>alert(1)</script>"


def hostile() -> Record:
    """Names and labels that try to leave their place in the page."""
    names = [
        HOSTILE, '"><img src=x onerror=alert(1)>', "'; DROP TABLE rows; --", "<!--", "]]>", "{{x}}",
        "${alert(1)}", "\u202egnp.exe", "nul\x00l", "\ud800", "tab\tnew\nline", "&lt;", "é" * 5000,
        "</style>", "javascript:alert(1)", "datum.x", "a.b[0]", "\\u003c", "__proto__", "",
    ]  # fmt: skip
    columns = [column(name, vocabulary=[name, name], missing_frac=0.00001) for name in names]
    records = training(5, 3)
    n = len(names)
    counts = [[i * j for j in range(n)] for i in range(n)]
    records[-1]["why"] = HOSTILE
    score = {"name": HOSTILE, "value": 0.5, "baseline": None, "higher_is_better": True,
             "baseline_is": HOSTILE}  # fmt: skip
    return {
        "schema.json": {"columns": [{**c, "why": HOSTILE, "kind": HOSTILE[:20]} for c in columns]},
        "metrics.jsonl": records,
        "config.toml": f"# {HOSTILE}\n{CONFIG}",
        "env.json": ENV | {HOSTILE: HOSTILE, "platform": HOSTILE},
        "split.json": SPLIT | {"how": HOSTILE, "train": "x" * 10_000},
        "summary.json": summary(
            "multiclass", HOSTILE, records, table=HOSTILE, score=score, scores={HOSTILE: 0.5},
            confusion={"labels": names[:12], "counts": [row[:12] for row in counts[:12]]},
            scatter={"true": [1.0, None, 2.0], "predicted": [1.5, 2.0, None]},
        ),
    }  # fmt: skip


MADE: dict[str, Callable[[], Record]] = {
    "binary": binary,
    "multiclass": multiclass,
    "regression": regression,
    "unfinished": unfinished,
    "hostile": hostile,
}


def write_run(folder: Path, files: Record) -> Path:
    """Write a run folder; a list is written as lines, a string as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (
        {"config.toml": CONFIG, "env.json": ENV, "split.json": SPLIT} | files
    ).items():
        text = content if isinstance(content, str) else json.dumps(content)
        if isinstance(content, list):
            text = "".join(json.dumps(record) + "\n" for record in content)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a made-up run, `changes` in place of its files."""

    def make(kind: str, **changes: Any) -> Path:
        files = MADE[kind]() | {name.replace("_", "."): value for name, value in changes.items()}
        return write_run(tmp_path / f"20260101T000000Z-{kind}", files)

    return make
