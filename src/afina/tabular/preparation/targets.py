"""The target of given rows: read from scratch, or matched to the classes of a model."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from afina.config import TableSettings
from afina.errors import SchemaError
from afina.table import Label, Target, TargetTask, match_target, read_target
from afina.tabular.preparation.given import Given
from afina.tabular.preparation.rows import Floats, Rows


def read_new_target(given: Given, config: TableSettings, *, has_val: bool) -> Target:
    """Read the target of rows to train on; rows with weight 0 have none.

    A class with a single row is an error only if the task is inferred and rows will be held out: it
    suggests that the column does not hold classes.

    Raises:
        SchemaError: the target is constant, infinite, or of a type that cannot be predicted.
    """
    return read_target(
        _weighted_target(given),
        task=config.task,
        name=given.roles.target,
        source=given.source,
        missing_values=config.missing_values,
        allow_single=has_val or config.task not in ("auto", "regression"),
        declared=given.has_classes,
    )


def match_learned_target(
    given: Given, task: TargetTask, classes: Sequence[Label], missing_values: Sequence[str]
) -> Target:
    """Read the target of other rows, using the task and the classes that a model learned.

    Raises:
        SchemaError: a label is one that the model did not learn, or no row has a target.
    """
    return match_target(
        _weighted_target(given),
        task=task,
        classes=classes,
        name=given.roles.target,
        source=given.source,
        missing_values=missing_values,
    )


def check_varies(train: Rows, target: Target, given: Given) -> None:
    """Raise a SchemaError if all training rows have the same target."""
    if len(np.unique(train.y)) >= 2:
        return
    first = train.y[0].item()
    value = target.classes[first] if target.classes else first
    raise SchemaError(
        f"{given.source}: target {given.roles.target!r} must vary among the training rows",
        but=f"it is {value!r} in all {len(train):,} of them",
        fix="Split the rows differently, or add rows.",
    )


def left_out_notes(target: Target, weights: Floats, source: str) -> list[str]:
    """Return sentences about the rows left out because they have no target or no weight."""
    n_unweighted = int((weights == 0).sum())
    n_missing = int(target.missing.sum()) - n_unweighted
    counts = {"the target is missing": n_missing, "the weight is 0": n_unweighted}
    return [
        f"{source}: {'1 row is' if n == 1 else f'{n:,} rows are'} left out, because {reason}"
        for reason, n in counts.items()
        if n
    ]


def _weighted_target(given: Given) -> pa.ChunkedArray:
    """Blank the target of rows with weight 0, so that they do not define a class."""
    if (given.weights > 0).all():
        return given.target
    return pc.if_else(pa.array(given.weights > 0), given.target, pa.scalar(None, given.target.type))
