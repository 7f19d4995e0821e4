"""The arguments and options that only `afina fit` has."""

from pathlib import Path
from typing import Annotated

import typer

from afina.cli.options import value_option

FitTable = Annotated[
    Path | None,
    typer.Argument(
        metavar="TABLE",
        show_default=False,
        help="A table: .csv, .tsv (also .gz), .parquet, .feather or .arrow; - is stdin. "
        "Default: a small table of loans that comes with afina.",
    ),
]
Target = Annotated[
    list[str] | None,  # a list, so that a second one is refused instead of replacing the first
    value_option("COL", "The column to predict."),
]
Metric = Annotated[
    str | None,
    value_option(
        "NAME",
        "The score that decides when to stop and that results lead with, such as auc, f1, "
        "log_loss, rmse or mae: stop.metric.",
    ),
]
ClassWeights = Annotated[
    list[str] | None,
    value_option(
        "LABEL=WEIGHT",
        "How much a row of a class counts in training; repeat for each label. Or `balanced`: "
        "table.class_weight.",
        "--class-weight",
    ),
]
Preset = Annotated[
    str | None,
    value_option("NAME", "Preset: fast, default, best, or plain (one multilayer perceptron)."),
]
TimeLimit = Annotated[
    float | None,
    value_option(
        "SECONDS", "Finish within this many seconds, including the report: stop.time_limit."
    ),
]
Seed = Annotated[int | None, value_option("N", "The same seed gives the same model: train.seed.")]
LearningRate = Annotated[
    str | None,
    value_option("LR", "Learning rate, or `find` to run a range test before training: train.lr."),
]
RunFolder = Annotated[Path | None, value_option("DIR", "The run folder. Default: runs/TIME-TABLE.")]
ValTable = Annotated[Path | None, value_option("FILE", "A table of validation rows.")]
ValFrac = Annotated[float | None, value_option("F", "Share of validation rows: table.val_frac.")]
Group = Annotated[
    str | None,
    value_option("COL", "Keep rows with the same value on one side of the split: table.group."),
]
Time = Annotated[str | None, value_option("COL", "Validate on the latest rows: table.time.")]
Weight = Annotated[str | None, value_option("COL", "The weight of each row: table.weight.")]
