"""The arguments and options that only `afina fit` has."""

from pathlib import Path
from typing import Annotated

import typer

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
    str | None,
    typer.Option(metavar="COL", show_default=False, help="The column to predict."),
]
Preset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        show_default=False,
        help="Preset: fast, default, best, or plain (one multilayer perceptron).",
    ),
]
TimeLimit = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        show_default=False,
        help="Finish within this many seconds, including the report: stop.time_limit.",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        metavar="N", show_default=False, help="The same seed gives the same model: train.seed."
    ),
]
LearningRate = Annotated[
    str | None,
    typer.Option(
        metavar="LR",
        show_default=False,
        help="Learning rate, or `find` to run a range test before training: train.lr.",
    ),
]
RunFolder = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", show_default=False, help="The run folder. Default: runs/TIME-TABLE."
    ),
]
ValTable = Annotated[
    Path | None,
    typer.Option(metavar="FILE", show_default=False, help="A table of validation rows."),
]
ValFrac = Annotated[
    float | None,
    typer.Option(metavar="F", show_default=False, help="Share of validation rows: table.val_frac."),
]
Group = Annotated[
    str | None,
    typer.Option(
        metavar="COL",
        show_default=False,
        help="Keep rows with the same value on one side of the split: table.group.",
    ),
]
Time = Annotated[
    str | None,
    typer.Option(
        metavar="COL", show_default=False, help="Validate on the latest rows: table.time."
    ),
]
Weight = Annotated[
    str | None,
    typer.Option(metavar="COL", show_default=False, help="The weight of each row: table.weight."),
]
