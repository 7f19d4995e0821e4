"""Read summary.json: the scores of a finished run, and the data of its plots."""

from dataclasses import dataclass
from pathlib import Path

from afina.report.jsonfile import (
    Record,
    as_count,
    as_list,
    as_number,
    as_record,
    as_text,
    damaged,
    read_record,
)
from afina.report.metrics import Stop, read_stop

FORMAT = 1


@dataclass(frozen=True)
class Score:
    """The one score a person looks at, beside what no learning at all would give."""

    name: str
    value: float | None
    baseline: float | None
    higher_is_better: bool
    baseline_is: str


@dataclass(frozen=True)
class Confusion:
    """How many rows of each true class (row) were given each class (column)."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Scatter:
    """True and predicted target of a sample of rows; None where not finite."""

    true: tuple[float | None, ...]
    predicted: tuple[float | None, ...]


@dataclass(frozen=True)
class Summary:
    """What summary.json tells."""

    task: str
    target: str
    table: str
    n_train: int
    n_val: int
    n_left_out: int
    n_folds: int
    score: Score
    scores: dict[str, float | None]
    baseline_scores: dict[str, float | None]
    on: str
    stop: Stop | None
    confusion: Confusion | None
    scatter: Scatter | None
    seconds: float | None


def read_summary(path: Path) -> Summary | None:
    """Read summary.json, or None where the run has not written it yet.

    Raises:
        CheckpointError: it is damaged, or of a format this version does not know.
    """
    record = read_record(path)
    if record is None:
        return None
    if record.get("format") != FORMAT:
        raise damaged(path, f"format must be {FORMAT}, not {record.get('format')!r:.60}")
    rows = as_record(record.get("rows"), "rows", path)
    stop = as_record(record.get("stop"), "stop", path)
    return Summary(
        task=as_text(record.get("task"), "task", path),
        target=as_text(record.get("target"), "target", path),
        table=as_text(record.get("table"), "table", path),
        n_train=as_count(rows.get("train", 0), "rows.train", path),
        n_val=as_count(rows.get("val", 0), "rows.val", path),
        n_left_out=as_count(rows.get("left_out", 0), "rows.left_out", path),
        n_folds=as_count(rows.get("folds", 1), "rows.folds", path),
        score=_read_score(as_record(record.get("score"), "score", path), path),
        scores=_read_scores(record, "scores", path),
        baseline_scores=_read_scores(record, "baseline_scores", path),
        on=as_text(record.get("on", "val"), "on", path),
        stop=read_stop(stop, path) if stop else None,
        confusion=_read_confusion(as_record(record.get("confusion"), "confusion", path), path),
        scatter=_read_scatter(as_record(record.get("scatter"), "scatter", path), path),
        seconds=as_number(record.get("seconds"), "seconds", path),
    )


def _read_score(record: Record, path: Path) -> Score:
    return Score(
        name=as_text(record.get("name"), "score.name", path),
        value=as_number(record.get("value"), "score.value", path),
        baseline=as_number(record.get("baseline"), "score.baseline", path),
        higher_is_better=bool(record.get("higher_is_better")),
        baseline_is=as_text(record.get("baseline_is"), "score.baseline_is", path),
    )


def _read_scores(record: Record, key: str, path: Path) -> dict[str, float | None]:
    scores = as_record(record.get(key), key, path)
    return {name: as_number(value, f"{key}.{name}", path) for name, value in scores.items()}


def _read_confusion(record: Record, path: Path) -> Confusion | None:
    if not record:
        return None
    labels = tuple(map(str, as_list(record.get("labels"), "confusion.labels", path)))
    counts = tuple(
        tuple(
            as_count(cell, "confusion.counts", path)
            for cell in as_list(row, "confusion.counts", path)
        )
        for row in as_list(record.get("counts"), "confusion.counts", path)
    )
    if [len(row) for row in counts] != [len(labels)] * len(labels):
        raise damaged(path, f"confusion.counts must have {len(labels)} rows and columns")
    return Confusion(labels, counts)


def _read_scatter(record: Record, path: Path) -> Scatter | None:
    if not record:
        return None
    true, predicted = (
        tuple(
            as_number(value, f"scatter.{key}", path)
            for value in as_list(record.get(key), f"scatter.{key}", path)
        )
        for key in ("true", "predicted")
    )
    if len(true) != len(predicted):
        raise damaged(path, f"scatter has {len(true)} true and {len(predicted)} predicted values")
    return Scatter(true, predicted)
