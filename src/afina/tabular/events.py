"""What a listener is told while a table is fitted, besides the records of training itself.

A listener is a callable that takes one record: `Read`, `Learned`, `Started`, then the records of
`afina.train` (steps, evaluations, checkpoints, the stop), then `Finished`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afina.table import Schema

Listener = Callable[[object], object]


@dataclass(frozen=True)
class Read:
    """A table was read.

    Args:
        source: the file.
    """

    source: str
    n_rows: int
    n_columns: int


@dataclass(frozen=True)
class Learned:
    """The table was understood, and everything that is learned before training was learned.

    Args:
        schema: what each column was taken as, and why.
        target: the target column's name.
        task: "binary", "multiclass" or "regression".
        n_train: rows that are trained on.
        n_val: rows that decide when to stop.
        n_folds: folds that the rows are in, so that all of them do both; 1: none.
        n_left_out: rows without a target or with weight 0.
        how_split: a sentence.
        notes: sentences about what was done that may not be expected.
        n_parameters: trained numbers of the network.
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
        n_epochs_max: epochs after which training ends at the latest.
        resumed_from: step of the checkpoint that is gone on from; none for a new run.
    """

    run: Path
    n_epochs_max: int
    resumed_from: int | None = None


@dataclass(frozen=True)
class Finished:
    """The run folder is complete.

    Args:
        summary: what `summary.json` says.
    """

    summary: Mapping[str, Any]
