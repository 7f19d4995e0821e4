"""`Predictor`: raw rows in, labels, probabilities or numbers out."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import nn

from afina.errors import NonFiniteError, SchemaError
from afina.nn import StackedLinear
from afina.table import Features, Label, Schema, encode, read_table, to_table
from afina.tabular.answers import as_answers
from afina.tabular.facts import Facts
from afina.tabular.model import TabularModel
from afina.tabular.prepare import TableOf, left_out_notes, read_answers
from afina.tabular.rows import Floats
from afina.tabular.scoring import choose_headline, finite, score

_NUMBERS_A_BATCH = 1 << 18  # a hidden layer of a batch then stays in the processor's cache
_MOST_ROWS = 4096


class Predictor:
    """A fitted model: it takes raw rows, also one alone, and never answers with NaN.

    It computes in float64 and in eval mode, row by row: a row's answer does not depend on the
    rows beside it.

    Args:
        model: preprocessing, network and target scale.
        schema: the contract that rows must meet.
        facts: what is known of the target, and how tables are read.

    Example:
        >>> import afina  # doctest: +SKIP
        >>> model = afina.load("runs/20260101T000000Z-cars")  # doctest: +SKIP
        >>> model.predict({"year": [2019], "make": ["Fiat"]})  # doctest: +SKIP
        array([11250.])
    """

    def __init__(self, model: TabularModel, schema: Schema, facts: Facts) -> None:
        self.model = model.eval()
        self.schema = schema
        self.facts = facts
        # Weights are float32; computing in float64 makes a row's answer the same, to 1e-12, in
        # whatever batch it stands.
        self._exact = copy.deepcopy(model).double().eval()

    @property
    def task(self) -> str:
        """Say "binary", "multiclass" or "regression"."""
        return self.facts.task

    @property
    def target(self) -> str:
        """Name the column that is predicted."""
        return self.facts.target

    @property
    def classes(self) -> tuple[Label, ...]:
        """List the labels, letter by letter; empty for regression."""
        return self.facts.classes

    def predict(self, data: object) -> NDArray[Any]:
        """Predict a label or number for each row of a frame, mapping of columns, or array.

        Raises:
            TableError: it is no table.
            SchemaError: it does not have the columns the model learned from.
            NonFiniteError: a prediction is not finite; the message names the row.
        """
        return self._labels(self._answers_to(data))

    def predict_proba(self, data: object) -> Floats:
        """Predict the probability of each class, in the order of `classes`.

        Raises:
            SchemaError: the target is no class, or rows do not fit.
        """
        if not self.classes:
            raise SchemaError(
                f"Probabilities need classes, however: {self.target!r} is a number. Use predict."
            )
        return self._answers_to(data)

    def predict_table(self, path: str | Path) -> pa.Table:
        """Predict each row of a table file, in its order.

        Returns:
            The column `prediction`; for classes then `probability_<label>` for each.
        """
        table = self._read(path)
        answers = self._answer_table(table, str(path))
        columns: dict[str, Any] = {"prediction": self._labels(answers)}
        if self.classes:
            columns["prediction"] = pa.array(columns["prediction"].tolist(), self._label_type())
            for number, label in enumerate(self.classes):
                columns[f"probability_{label_text(label)}"] = answers[:, number]
        return pa.table(columns)

    def evaluate_table(self, path: str | Path) -> dict[str, Any]:
        """Score predictions on a table file with known answers, beside the baseline.

        Returns:
            `scores` and `baseline_scores` by name, the headline `score`, `rows` and `notes`.
        """
        given = TableOf(self._read(path), str(path))
        facts = self.facts
        found, weights, kept = read_answers(
            given, facts.target, facts.task, facts.classes, facts.weight, facts.missing_values
        )
        answers = self._answer_table(given.table, given.source)[kept]
        y, w = found.values[kept], weights[kept] if facts.weight else None
        scores = score(answers, y, w)
        below = score(facts.baseline.answer(len(kept)), y, w)
        return {
            "task": facts.task,
            "target": facts.target,
            "score": choose_headline(len(facts.classes), facts.baseline),
            "scores": {name: finite(value) for name, value in scores.items()},
            "baseline_scores": {name: finite(value) for name, value in below.items()},
            "rows": {"scored": len(kept), "left_out": given.table.num_rows - len(kept)},
            "notes": left_out_notes(found, weights, given.source),
        }

    def answer(
        self, features: Features, source: str, folds: NDArray[np.int64] | None = None
    ) -> Floats:
        """Compute probabilities or numbers from a table's arrays, a bounded part at a time.

        Args:
            folds: of training rows, to be answered by the members that left them out.

        Raises:
            NonFiniteError: an answer is not finite.
        """
        n_rows = len(features.x_num)
        size = self._rows_a_batch()
        parts = [
            self._outputs(
                features.x_num[at : at + size],
                features.x_cat[at : at + size],
                features.x_time[at : at + size],
                *(() if folds is None else (folds[at : at + size],)),
            )
            for at in range(0, n_rows, size)
        ]
        if not parts:
            return np.empty((0, len(self.classes)) if self.classes else 0)
        answers = np.concatenate(parts)
        bad = ~np.isfinite(answers.reshape(n_rows, -1)).all(axis=1)
        if bad.any():
            row = int(np.argmax(bad))
            raise NonFiniteError(
                f"Every prediction must be finite, however: row {row + 1} of {source} gave "
                f"{answers[row]}. Look at this row, and fit again with a lower train.lr."
            )
        return answers

    def _outputs(self, *arrays: NDArray[Any]) -> Floats:
        parts = [np.ascontiguousarray(array) for array in arrays]
        with torch.inference_mode():
            outputs = self._exact(*(torch.from_numpy(part) for part in parts))
        return as_answers(outputs.numpy(), len(self.classes))

    def _answers_to(self, data: object) -> Floats:
        return self._answer_table(to_table(data), "the table")

    def _answer_table(self, table: pa.Table, source: str) -> Floats:
        facts = self.facts
        beside = {facts.target, facts.weight, facts.group} - self.schema.names
        there = [name for name in table.column_names if name in beside]
        return self.answer(encode(table.drop_columns(there), self.schema, source=source), source)

    def _labels(self, answers: Floats) -> NDArray[Any]:
        if not self.classes:
            return answers
        labels = np.array(self.classes)
        if labels.tolist() != list(self.classes):  # numpy turned some into another type
            labels = np.empty(len(self.classes), dtype=object)
            labels[:] = self.classes
        chosen: NDArray[Any] = labels[answers.argmax(axis=1)]
        return chosen

    def _label_type(self) -> pa.DataType:
        kinds = {type(label) for label in self.classes}
        if kinds == {bool}:
            return pa.bool_()
        if kinds == {int}:
            return pa.int64() if all(abs(int(x)) < 2**63 for x in self.classes) else pa.string()
        return pa.float64() if kinds == {float} else pa.string()

    def _read(self, path: str | Path) -> pa.Table:
        return read_table(path, delimiter=self.facts.delimiter, encoding=self.facts.encoding)

    def _rows_a_batch(self) -> int:
        kinds = (nn.Linear, StackedLinear)
        layers = [layer for layer in self.model.modules() if isinstance(layer, kinds)]
        widths = [max(layer.weight.shape[-2:]) for layer in layers]
        width = max(widths, default=1) * self.model.n_members
        return int(np.clip(_NUMBERS_A_BATCH // width, 16, _MOST_ROWS))


def label_text(label: Label) -> str:
    """Write a label as in the table."""
    if isinstance(label, bool):
        return "true" if label else "false"
    return str(label)
