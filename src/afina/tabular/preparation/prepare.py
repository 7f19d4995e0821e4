"""From given rows to rows for a network: read the target, choose sides, learn schema, encode."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from afina.config import Config
from afina.errors import SchemaError
from afina.table import (
    Features,
    Label,
    Schema,
    Target,
    TargetTask,
    UnusedColumn,
    cell_text,
    encode,
    infer_schema,
)
from afina.tabular.preparation.class_weights import (
    describe_class_weights,
    learn_class_weights,
    weigh_classes,
)
from afina.tabular.preparation.given import Given
from afina.tabular.preparation.rows import Floats, Integers, Rows
from afina.tabular.preparation.sides import LEAST_TO_SPLIT, Sides, choose_sides
from afina.tabular.preparation.targets import (
    check_varies,
    left_out_notes,
    match_learned_target,
    read_new_target,
)

_MOST_REASONS = 5  # columns named with a reason in one message


@dataclass(frozen=True)
class Prepared:
    """Everything learned from a table before a network is built.

    Args:
        schema: learned from the training rows alone.
        target: the target column's name.
        task: "binary", "multiclass" or "regression".
        classes: label of each class number, exactly as written; empty for regression.
        train: training rows, in the order of the table.
        val: rows that decide when to stop; with folds, the training rows themselves. None: no rows
            are held out.
        sides: how rows were assigned to training and validation.
        n_rows: rows of the table.
        n_left_out: rows without a target or with weight 0, including those of a validation table.
        notes: sentences about choices that users might not expect.
    """

    schema: Schema
    target: str
    task: TargetTask
    classes: tuple[Label, ...]
    train: Rows
    val: Rows | None
    sides: Sides
    n_rows: int
    n_left_out: int
    notes: tuple[str, ...]


def prepare(given: Given, val: Given | None, config: Config) -> Prepared:
    """Learn from a table everything that must be known before training.

    Args:
        given: the training rows; some of them are held out if `val` is None.
        val: rows that decide when to stop. None: hold out some of the given rows, unless there are
            too few.
        config: all settings.

    Raises:
        SchemaError: the table does not fit the settings; the message names file, row and column.
    """
    target = read_new_target(given, config.table, has_val=val is not None)
    name = given.roles.target
    class_weights = learn_class_weights(config.table.class_weight, target, given.weights, name)
    given = weigh_classes(given, target, class_weights)
    sides = choose_sides(given, target, config, has_val=val is not None)
    notes = [target.note] if target.note else []
    schema = learn_schema(given, sides.train, config, notes)
    tables = [encode_given(given, target, schema)]
    train = tables[0].take(sides.train, sides.folds)
    check_varies(train, target, given)
    held_out = None if sides.folds is None else train
    if sides.val is not None:
        held_out = tables[0].take(sides.val)
    elif val is not None:
        val_target = match_learned_target(
            val, target.task, target.classes, config.table.missing_values
        )
        val = weigh_classes(val, val_target, class_weights)
        tables.append(encode_given(val, val_target, schema))
        held_out = tables[1].take(np.flatnonzero(~val_target.missing))
    notes += [*sides.notes, *(note for table in tables for note in table.notes)]
    left_out = describe_left_out(schema, config.table.kinds)
    if left_out is not None:
        notes.append(left_out)
    if class_weights is not None:
        notes.append(describe_class_weights(class_weights, target.classes))
    if config.stop.metric == "f1" and target.task == "binary":
        notes.append(f"f1 is computed for class {cell_text(target.classes[1])!r}")
    if held_out is None:
        notes.append(
            f"nothing is held out, because there are fewer than {LEAST_TO_SPLIT} distinct rows: "
            "training runs for max_epochs, and scores are measured on the training rows"
        )
    return Prepared(
        schema,
        name,
        target.task,
        target.classes,
        train,
        held_out,
        sides,
        len(given.weights),
        sum(int(table.target.missing.sum()) for table in tables),
        tuple(notes),
    )


def learn_schema(
    given: Given, train: Integers, config: Config, notes: list[str] | None = None
) -> Schema:
    """Learn the columns from the training rows, and raise if there is no column to learn from.

    Args:
        notes: receives a sentence for each decision that the user may want to change.

    Raises:
        SchemaError: there is no column to learn from, or a kind does not exist or does not fit.
    """
    schema = infer_schema(
        given.features,
        rows=train,
        weights=given.weights,
        kinds={**given.kinds, **config.table.kinds},
        missing_values=config.table.missing_values,
        min_count=config.preprocess.min_count,
        source=given.source,
        notes=notes,
    )
    if not (schema.num_columns or schema.cat_columns or schema.time_columns):
        reasons = "; ".join(f"{c.name!r}: {c.why}" for c in schema.columns[:_MOST_REASONS])
        raise SchemaError(
            f"{given.source}: the table must have a column to learn from besides the target",
            but=f"none is left ({reasons})" if reasons else "it has none",
            fix="Add columns, or set a column's kind with --kind COL=KIND (in Python: kinds=...).",
        )
    return schema


def describe_left_out(schema: Schema, kinds: Mapping[str, str]) -> str | None:
    """Name the columns that the network does not see, and why; None if it sees all of them.

    Args:
        schema: the columns.
        kinds: kinds that the user has set; columns left out because of them are not named.
    """
    columns = [c for c in schema.columns if isinstance(c, UnusedColumn) and c.name not in kinds]
    if not columns:
        return None
    reasons = ", ".join(f"{c.name!r} ({c.why})" for c in columns[:_MOST_REASONS])
    n_more = len(columns) - _MOST_REASONS
    more = f" and {n_more:,} more" if n_more > 0 else ""
    verb = "column is" if len(columns) == 1 else "columns are"
    return f"{len(columns):,} {verb} left out: {reasons}{more}"


@dataclass(frozen=True)
class EncodedTable:
    """All rows of a table, as arrays.

    Args:
        features: numbers and codes.
        target: the target, as read.
        weights: weight of each row, at least 0.
        notes: sentences about rows left out, and about cells that count as missing.
        score_weights: weights that scores use. None: `weights`.
    """

    features: Features
    target: Target
    weights: Floats
    notes: tuple[str, ...]
    score_weights: Floats | None = None

    def take(self, rows: Integers, folds: Integers | None = None) -> Rows:
        """Take rows by number, with their folds."""
        x, y = self.features, self.target.values
        for_scores = None if self.score_weights is None else self.score_weights[rows]
        arrays = (x.x_num[rows], x.x_cat[rows], x.x_time[rows])
        return Rows(*arrays, y[rows], self.weights[rows], folds, for_scores)


def encode_given(given: Given, target: Target, schema: Schema) -> EncodedTable:
    """Turn rows into arrays; a few cells that do not parse count as missing, and are noted."""
    features = encode(given.features, schema, source=given.source, tolerant=True)
    left_out = left_out_notes(target, given.weights, given.source)
    notes = (*left_out, *target.notes, *features.notes)
    return EncodedTable(features, target, given.weights, notes, given.score_weights)
