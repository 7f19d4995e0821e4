"""Reading summary.json."""

import json
from pathlib import Path
from typing import Any

import pytest

from afina.errors import CheckpointError
from afina.records.json_record import parse_record, read_record, write_record
from afina.records.metrics_jsonl import StopRecord
from afina.records.summary_json import Confusion, RowCounts, Score, Summary

SUMMARY = Summary(
    task="binary",
    target="Status",
    table="credit.csv",
    rows=RowCounts(train=3564, val=890),
    score=Score(
        name="accuracy",
        value=0.81,
        baseline=float("nan"),
        higher_is_better=True,
        baseline_is="always 'good', the most common class",
    ),
    scores={"accuracy": 0.81, "auc": float("nan")},
    baseline_scores={"accuracy": 0.72},
    confusion=Confusion(("bad", "good"), ((131, 119), (46, 594))),
    scatter=None,
    stop=StopRecord(step=616, epoch=44, reason="patience", why="it did not improve"),
    seconds=11.4,
)


def test_a_summary() -> None:
    """Scores, rows, the end and the confusion matrix read back equal; NaN is null."""
    data = write_record(SUMMARY)
    assert parse_record(data, Summary, source="summary.json") == SUMMARY
    assert json.loads(data)["score"]["baseline"] is None
    assert list(json.loads(data)) == [
        *("format", "task", "target", "table", "rows", "on", "score", "scores"),
        *("baseline_scores", "confusion", "scatter", "stop", "model", "seconds"),
    ]


def test_there_is_none_yet(tmp_path: Path) -> None:
    """An unfinished run has no summary."""
    assert read_record(tmp_path / "summary.json", Summary) is None


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", 2, "format must be 1; got 2. It was written by another version"),
        ("score", None, "score must be an object; got None"),
        ("scores", {"accuracy": "high"}, r"scores\.accuracy must be a valid number; got 'high'"),
        ("rows", [1, 2], "rows must be an object; got list"),
        ("rows", {"train": -1}, r"rows\.train must be greater than or equal to 0; got -1"),
        (
            "confusion",
            {"labels": ["a"], "counts": [[1, 2]]},
            "confusion must have 1 rows and columns of counts, one for each label. R",
        ),
        ("confusion", {"labels": ["a"], "counts": [[-1]]}, r"confusion\.counts\.0\.0 must be g"),
        (
            "scatter",
            {"true": [1.0], "predicted": []},
            "scatter must have as many predicted as true values, not 0 and 1. R",
        ),
        ("target", None, "target must be a valid string; got None"),
        ("task", "rank", "task must be 'binary', 'multiclass' or 'regression'; got 'rank'"),
    ],
)
def test_damage_is_named(key: str, value: Any, message: str) -> None:
    """A value that cannot be names the file and the key."""
    data = json.dumps(json.loads(write_record(SUMMARY)) | {key: value}).encode()
    with pytest.raises(CheckpointError, match=r"run/summary\.json: " + message):
        parse_record(data, Summary, source="run/summary.json")
