"""Reading summary.json."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from afina.errors import CheckpointError
from afina.report.summary import read_summary

Maker = Callable[..., Path]


def test_a_summary(make_run: Maker) -> None:
    """Scores, rows, the end and the confusion matrix come back as they were written."""
    summary = read_summary(make_run("binary") / "summary.json")
    assert summary is not None
    assert (summary.n_train, summary.n_val) == (3564, 890)
    assert summary.score.baseline_is == "always 'good', the commonest class"
    assert summary.confusion is not None
    assert summary.confusion.counts == ((131, 119), (46, 594))
    assert summary.stop is not None
    assert summary.scatter is None


def test_there_is_none_yet(tmp_path: Path) -> None:
    """An unfinished run has no summary."""
    assert read_summary(tmp_path / "summary.json") is None


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", 2, "format must be 1, not 2"),
        ("score", None, r"score\.name must be a string"),
        ("scores", {"accuracy": "high"}, r"scores\.accuracy must be a number"),
        ("rows", [1, 2], "rows must be an object"),
        ("confusion", {"labels": ["a"], "counts": [[1, 2]]}, "must have 1 rows"),
        ("confusion", {"labels": ["a"], "counts": [[-1]]}, r"confusion\.counts must be a whole"),
        ("scatter", {"true": [1.0], "predicted": []}, "1 true and 0 predicted"),
        ("target", None, "target must be a string"),
    ],
)
def test_damage_is_named(make_run: Maker, key: str, value: Any, message: str) -> None:
    """A value that cannot be names the file and the key."""
    path = make_run("binary") / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(CheckpointError, match=r"summary\.json.*" + message):
        read_summary(path)
