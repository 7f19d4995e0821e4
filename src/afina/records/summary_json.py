"""summary.json: the scores of a finished run, and the data of its report's plots."""

from typing import Literal

from pydantic.dataclasses import dataclass

from afina.records.json_record import Count, Flag, Number, Text
from afina.records.metrics_jsonl import StopRecord


@dataclass(frozen=True, kw_only=True)
class RowCounts:
    """The numbers of training rows, validation rows, and rows left out.

    Args:
        train: number of training rows.
        val: number of validation rows.
        left_out: number of rows without a target or with weight 0.
        folds: number of folds; with folds, every row trains and validates. 1: there are no folds.
    """

    train: Count = 0
    val: Count = 0
    left_out: Count = 0
    folds: Count = 1


@dataclass(frozen=True, kw_only=True)
class Score:
    """The headline score of the model, and the score of a baseline that ignores the features.

    Args:
        name: the score's name.
        value: the model's score.
        baseline: the baseline's score on the same rows.
        baseline_is: what the baseline predicts, in words.
        caution: sentences about how far the score can be trusted; empty if there is no doubt.
    """

    name: Text
    value: Number
    baseline: Number
    higher_is_better: Flag
    baseline_is: Text
    caution: Text = ""


@dataclass(frozen=True)
class Confusion:
    """The number of rows of each true class (row) predicted as each class (column)."""

    labels: tuple[Text, ...]
    counts: tuple[tuple[Count, ...], ...]

    def __post_init__(self) -> None:
        n = len(self.labels)
        if [len(row) for row in self.counts] != [n] * n:
            raise ValueError(f"must have {n} rows and columns of counts, one for each label")


@dataclass(frozen=True)
class Scatter:
    """True and predicted targets of a sample of rows."""

    true: tuple[Number, ...]
    predicted: tuple[Number, ...]

    def __post_init__(self) -> None:
        if len(self.true) != len(self.predicted):
            raise ValueError(
                "must have as many predicted as true values, "
                f"not {len(self.predicted)} and {len(self.true)}"
            )


@dataclass(frozen=True, kw_only=True)
class Summary:
    """How a run ended, and how good its model is.

    Args:
        target: name of the target column.
        table: path of the table.
        on: which rows were scored.
        score: the headline score.
        scores: every score of the model.
        baseline_scores: every score of the baseline.
        confusion: the confusion matrix. None: the target is a number, or there are too many
            classes.
        scatter: true and predicted values. None: the target has classes.
        stop: why training ended. None: unknown.
        model: what the model is; `constant` always predicts the baseline.
        seconds: duration of the fit, counted from the last resume if there was one.
    """

    format: Literal[1] = 1
    task: Literal["binary", "multiclass", "regression"]
    target: Text
    table: Text
    rows: RowCounts
    on: Literal["train", "val"] = "val"
    score: Score
    scores: dict[Text, Number]
    baseline_scores: dict[Text, Number]
    confusion: Confusion | None
    scatter: Scatter | None
    stop: StopRecord | None = None
    model: Literal["network", "constant"] = "network"
    seconds: Number = None
