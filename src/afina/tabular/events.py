"""The records for observers of a fit, in addition to the records of training.

An observer is a callable that accepts one record: `Read`, `Learned`, `Started`, then the records of
`afina.train` (steps, evaluations, checkpoints, the stop), then `Finished`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afina.table import Schema

FitObserver = Callable[[object], object]


@dataclass(frozen=True)
class Read:
    """A table was read.

    Args:
        source: path of the file.
    """

    source: str
    n_rows: int
    n_columns: int


@dataclass(frozen=True)
class Learned:
    """A fit has learned everything that it needs from the table before training.

    Args:
        schema: the kind of each column, and why.
        target: the target column's name.
        task: "binary", "multiclass" or "regression".
        n_train: number of rows to train on.
        n_val: number of rows that decide when to stop.
        n_folds: number of folds; with folds, every row is used both to train and to decide when to
            stop. 1: no folds.
        n_left_out: number of rows without a target or with weight 0.
        how_split: a sentence about how training and validation rows were separated.
        notes: sentences about choices that users might not expect.
        n_parameters: number of trainable parameters of the network.
        threads: processor threads.
        batch_size: rows per optimizer step.
    """

    schema: Schema
    target: str
    task: str
    n_train: int
    n_val: int
    n_left_out: int
    how_split: str
    notes: tuple[str, ...]
    n_parameters: int
    threads: int
    batch_size: int
    n_folds: int = 1


@dataclass(frozen=True)
class Started:
    """Training begins.

    Args:
        run: the run folder.
        n_epochs_max: the largest number of epochs.
        resumed_from: step of the checkpoint from which the run resumes, 0 for the start. None: a
            new run.
        can_resume: whether the run can be resumed after an interrupt.
    """

    run: Path
    n_epochs_max: int
    resumed_from: int | None = None
    can_resume: bool = True


@dataclass(frozen=True)
class Finished:
    """The run folder is complete.

    Args:
        summary: the content of `summary.json`.
    """

    summary: Mapping[str, Any]
