"""Settings for reading and splitting a table."""

from typing import Annotated, Literal

from pydantic import Field

from afina.declaration import Frac, Positive, settings_class
from afina.table.column import Kind
from afina.table.target import RequestedTask

MOST_FOLDS = 64


@settings_class
class TableSettings:
    """Settings for reading and splitting the table."""

    task: RequestedTask = "auto"
    """What the target is. `auto`: text, two values, or at most ten distinct whole numbers are
    classes. `classification`: classes, `binary` if there are two of them and `multiclass` if there
    are more; `regression`: numbers."""

    class_weight: (
        Annotated[dict[str, Positive], Field(json_schema_extra={"keys": "labels"})]
        | Literal["balanced"]
        | None
    ) = None
    """How much each row of a class counts in training and in `val/loss`, as a weight of the row:
    a weight for each label, or `balanced`, which gives all classes the same total weight. Scores
    count each row once. Not set: classes count as often as they occur."""

    kinds: dict[str, Kind] = Field(default_factory=dict)
    """Kind by column name, to correct the inferred one."""

    missing_values: tuple[str, ...] = Field(default=(), strict=False)
    """More words that mean "missing", in every column; an empty cell always does."""

    delimiter: str | None = None
    """The character between cells. Not set: inferred from the first line."""

    encoding: str = "utf-8"
    """Text encoding of CSV files; a byte-order mark takes precedence."""

    folds: Annotated[int, Field(ge=1, le=MOST_FOLDS)] | Literal["auto"] = "auto"
    """Number of folds, with `members_differ = "weights"`: each member holds out one fold and is
    scored on it, so that all rows train and all rows decide when to stop (members share only the
    embeddings and the scales of the numbers). `auto`: about six, a divisor of `members`. With 1, or
    with `val_frac`, `time` or a table of validation rows, rows are held out instead."""

    val_frac: Frac | None = None
    """Share of the rows held out to decide when to stop, in (0, 1). Not set: 0.2 if there are no
    folds."""

    group: str | None = None
    """Column of groups: rows with the same value stay on one side of the split. Not used as a
    feature."""

    time: str | None = None
    """Column of times; the latest rows become the validation rows."""

    weight: str | None = None
    """Column of row weights, at least 0; a weight of 2 counts the row twice. Not used as a
    feature."""
