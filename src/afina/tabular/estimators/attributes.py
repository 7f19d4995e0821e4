"""What a fit leaves on an estimator: the history of training, and what became of each column."""

from typing import Any

from afina.table import Schema, UnusedColumn
from afina.train import EpochEvent, EvalEvent, Result


def as_history(result: Result) -> list[dict[str, float]]:
    """Merge the records of each epoch into one mapping."""
    history: dict[int, dict[str, float]] = {}
    for event in result.history:
        if isinstance(event, EpochEvent):
            history.setdefault(event.epoch, {})["train/loss"] = event.loss
        elif isinstance(event, EvalEvent):
            history.setdefault(event.epoch, {}).update(event.metrics)
    return [{"epoch": epoch, **record} for epoch, record in sorted(history.items())]


def list_columns(schema: Schema) -> list[dict[str, Any]]:
    """Return a mapping for each column of a table, in the table's order.

    Example:
        >>> list_columns(Schema((UnusedColumn("id", "ignored", "an identifier"),)))
        [{'column': 'id', 'kind': 'ignored', 'used': False, 'missing': 0.0, 'why': 'an identifier'}]
    """
    return [
        {
            "column": column.name,
            "kind": column.kind,
            "used": not isinstance(column, UnusedColumn),
            "missing": column.missing_frac,
            "why": column.why,
        }
        for column in schema.columns
    ]
