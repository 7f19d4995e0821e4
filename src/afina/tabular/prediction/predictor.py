"""`Predictor`: raw rows in, labels, probabilities or numbers out."""

import copy
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import nn

from afina.errors import NonFiniteError, SchemaError, TableError
from afina.nn import StackedLinear
from afina.table import (
    Features,
    Label,
    RowEncoder,
    Schema,
    encode,
    only_row,
    read_table,
    to_table,
)
from afina.tabular.environment import torch_threads
from afina.tabular.prediction.model_record import Facts
from afina.tabular.preparation.prepare import TableOf, left_out_notes, read_answers
from afina.tabular.preparation.rows import Floats
from afina.tabular.probabilities import as_answers
from afina.tabular.scoring import choose_headline, finite, score
from afina.tabular.training.tabular_model import TabularModel

_NUMBERS_A_BATCH = 1 << 18  # a hidden layer of a batch then stays in the processor's cache
_MOST_ROWS = 4096
_LITTLE_WORK = 1 << 23  # rows times parameters; threads that wait for each other take longer


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
        self._exact = _exact_copy(model)
        self._beside = {facts.target, facts.weight, facts.group} - schema.names
        self._encoder = RowEncoder(schema, (name for name in self._beside if name is not None))
        self._rows_a_batch = _choose_rows_a_batch(self._exact)
        self._n_parameters = sum(p.numel() for p in self._exact.parameters())

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
        self._check_classes()
        return self._answers_to(data)

    def predict_row(self, row: Mapping[str, object]) -> Label:
        """Predict the label or number of one row, several times as fast as from a table of it.

        The answer is that of `predict` for a table of the same cells, bit for bit.

        Args:
            row: cell by column name: text, numbers, booleans, dates, or None where it is missing.

        Raises:
            TableError: it is no mapping, or a cell has no place in a table.
            SchemaError: a column is missing, or a cell is not what the model learned from.
            NonFiniteError: the prediction is not finite.

        Example:
            >>> import afina  # doctest: +SKIP
            >>> model = afina.load("runs/20260101T000000Z-cars")  # doctest: +SKIP
            >>> model.predict_row({"year": 2019, "make": "Fiat"})  # doctest: +SKIP
            11250.0

        Evidence: medians of one run, on two tables: docs/evidence/prediction.md.
        """
        answers = self._answers_to_row(row)
        return self.classes[int(answers.argmax())] if self.classes else float(answers[0])

    def predict_proba_row(self, row: Mapping[str, object]) -> Floats:
        """Predict the probability of each class for one row; see `predict_row`.

        Shape:
            -> (n_classes,)

        Raises:
            SchemaError: the target is no class, or the row does not fit.
        """
        self._check_classes()
        probabilities: Floats = self._answers_to_row(row)[0]
        return probabilities

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
        size = self._rows_a_batch
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

    def answer_quickly(self, row: Mapping[str, object]) -> Floats | None:
        """Compute what `answer` gives for a table of one row; None where a table must be made."""
        features = self._encoder.encode(row)
        if features is None:
            return None
        answers = self._outputs(features.x_num, features.x_cat, features.x_time)
        return answers if np.isfinite(answers).all() else None

    def _outputs(self, *arrays: NDArray[Any]) -> Floats:
        parts = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
        little = len(parts[0]) * self._n_parameters < _LITTLE_WORK
        with torch_threads(1) if little else nullcontext(), torch.inference_mode():
            outputs = self._exact(*parts)
        return as_answers(outputs.numpy(), len(self.classes))

    def _answers_to(self, data: object) -> Floats:
        row = only_row(data)
        answers = None if row is None else self.answer_quickly(row)
        return self._answer_table(to_table(data), "the table") if answers is None else answers

    def _answers_to_row(self, row: Mapping[str, object]) -> Floats:
        if not isinstance(row, Mapping):
            raise TableError(
                "a row must be a mapping of column names to cells, however: "
                f"a {type(row).__name__} came. Use predict for tables."
            )
        answers = self.answer_quickly(row)
        if answers is not None:
            return answers
        table = to_table({name: [cell] for name, cell in row.items()})
        return self._answer_table(table, "the table")

    def _answer_table(self, table: pa.Table, source: str) -> Floats:
        there = [name for name in table.column_names if name in self._beside]
        return self.answer(encode(table.drop_columns(there), self.schema, source=source), source)

    def _check_classes(self) -> None:
        if not self.classes:
            raise SchemaError(
                f"Probabilities need classes, however: {self.target!r} is a number. Use predict."
            )

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


@torch.no_grad()
def _exact_copy(model: TabularModel) -> TabularModel:
    """Copy a model to predict with.

    Weights are float32; computing in float64 makes a row's answer the same, to 1e-12, in whatever
    batch it stands.
    """
    exact = copy.deepcopy(model).double().eval()
    for layer in exact.modules():
        if isinstance(layer, StackedLinear):
            # As the product of rows that all networks share reads it, which else copies it each time.
            layer.weight.data = layer.weight.transpose(0, 1).contiguous().transpose(0, 1)
    return exact


def _choose_rows_a_batch(model: TabularModel) -> int:
    """Choose how many rows are answered at once, by the numbers of the widest layer."""
    widths = [1]
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            widths.append(max(layer.in_features, layer.out_features) * model.n_members)
        elif isinstance(layer, StackedLinear):
            widths.append(max(layer.weight.shape[1], layer.weight.shape[0] * layer.weight.shape[2]))
    return int(np.clip(_NUMBERS_A_BATCH // max(widths), 16, _MOST_ROWS))


def label_text(label: Label) -> str:
    """Write a label as in the table."""
    if isinstance(label, bool):
        return "true" if label else "false"
    return str(label)
