"""`Predictor`: turn raw rows into labels, probabilities or numbers."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from afina.errors import AfinaWarning, NonFiniteError, SchemaError
from afina.process_state import torch_threads
from afina.table import (
    Features,
    Label,
    RowEncoder,
    Schema,
    encode,
    has_no_names,
    list_names,
    only_row,
    read_table,
    table_name,
    to_table,
    unusual_notes,
)
from afina.tabular.comparison import describe_doubt, is_gain
from afina.tabular.prediction.exact_copy import choose_rows_a_batch, exact_copy
from afina.tabular.prediction.kept_columns import take_kept
from afina.tabular.prediction.model_folder import model_files, save_folder
from afina.tabular.prediction.model_record import ModelRecord
from afina.tabular.prediction.single_row import name_cells
from afina.tabular.preparation.given import take_columns
from afina.tabular.preparation.roles import Roles
from afina.tabular.preparation.rows import Floats
from afina.tabular.preparation.targets import (
    left_out_notes,
    match_learned_target,
)
from afina.tabular.probabilities import to_predictions
from afina.tabular.scoring import choose_headline, finite, score
from afina.tabular.training.tabular_model import TabularModel

_LITTLE_WORK = 1 << 23  # rows times parameters; for less, several threads are slower than one


class Predictor:
    """A fitted model, which predicts raw rows, many or one at a time, and never returns NaN.

    It computes in float64 and in evaluation mode, so a row's prediction does not depend on the
    other rows.

    Args:
        model: preprocessing, network and target scale.
        schema: the schema that rows must fit.
        record: settings, shape, and facts about the target and about how to read tables.
        config_toml: all settings as the user gave them, to save beside the model.

    Example:
        >>> import afina  # doctest: +SKIP
        >>> model = afina.load("runs/20260101T000000Z-cars")  # doctest: +SKIP
        >>> model.predict({"year": [2019], "make": ["Fiat"]})  # doctest: +SKIP
        array([11250.])
    """

    def __init__(
        self, model: TabularModel, schema: Schema, record: ModelRecord, config_toml: bytes
    ) -> None:
        self.model = model.eval()
        self.schema = schema
        self.facts = facts = record
        self._config_toml = config_toml
        self._exact = exact_copy(model)
        self._beside = {facts.target, facts.weight, facts.group} - schema.names
        self._encoder = RowEncoder(schema, (name for name in self._beside if name is not None))
        self._rows_a_batch = choose_rows_a_batch(self._exact)
        self._n_parameters = sum(p.numel() for p in self._exact.parameters())

    def __repr__(self) -> str:
        classes = f", n_classes={len(self.classes)}" if self.classes else ""
        columns = f"n_columns={len(self.schema.columns)}"
        return f"Predictor(target={self.target!r}, task={self.task!r}, {columns}{classes})"

    @property
    def task(self) -> str:
        """Return "binary", "multiclass" or "regression"."""
        return self.facts.task

    @property
    def target(self) -> str:
        """Return the name of the column to predict."""
        return self.facts.target

    @property
    def classes(self) -> tuple[Label, ...]:
        """Return the labels exactly as written; empty for regression."""
        return self.facts.classes

    def predict(self, data: object) -> NDArray[Any]:
        """Predict a label or number for each row of a frame, a mapping of columns, or an array.

        Raises:
            TableError: the data is not a table.
            SchemaError: the data does not have the columns that the model learned from.
            NonFiniteError: a prediction is not finite; the message names the row.
        """
        return self._labels(self._predict(data))

    def predict_proba(self, data: object) -> Floats:
        """Predict the probability of each class, in the order of `classes`.

        Raises:
            SchemaError: the target is a number, or the rows do not fit the schema.
        """
        self._check_classes()
        return self._predict(data)

    def predict_row(self, row: Mapping[str, object]) -> Label:
        """Predict the label or number of one row, several times as fast as `predict`.

        The prediction equals that of `predict` for a table with this row, bit for bit.

        Args:
            row: cells by column name: text, numbers, booleans, dates, or None for a missing cell.

        Raises:
            TableError: the row is not a mapping, or a cell has a type that tables cannot hold.
            SchemaError: a column is missing, or a cell does not fit its column.
            NonFiniteError: the prediction is not finite.

        Example:
            >>> import afina  # doctest: +SKIP
            >>> model = afina.load("runs/20260101T000000Z-cars")  # doctest: +SKIP
            >>> model.predict_row({"year": 2019, "make": "Fiat"})  # doctest: +SKIP
            11250.0

        Evidence: medians of one run, on two tables: docs/evidence/prediction.md.
        """
        prediction = self._predict_row(row)
        return self.classes[int(prediction.argmax())] if self.classes else float(prediction[0])

    def predict_proba_row(self, row: Mapping[str, object]) -> Floats:
        """Predict the probability of each class for one row; see `predict_row`.

        Shape:
            -> (n_classes,)

        Raises:
            SchemaError: the target is a number, or the row does not fit the schema.
        """
        self._check_classes()
        probabilities: Floats = self._predict_row(row)[0]
        return probabilities

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Save the model in a folder, which `afina.load` and the command line read.

        The folder holds tensors and JSON, no pickle. A loaded model returns probabilities in
        the order of its `classes`.

        Args:
            path: a new or empty folder; missing parent folders are created.
            overwrite: replace a saved model that is already there.

        Raises:
            StorageError: something else is already there, or the folder cannot be written.
        """
        save_folder(Path(path), self.files(), overwrite=overwrite)

    def remade(self) -> "Predictor":
        """Return a new predictor for the same model, after its weights have changed."""
        return Predictor(self.model, self.schema, self.facts, self._config_toml)

    def files(self) -> dict[str, bytes]:
        """Return the content of the model's folder, without its manifest."""
        return model_files(self.model, self.schema, self.facts, self._config_toml)

    def predict_table(
        self,
        path: str | Path,
        *,
        keep: Sequence[str] = (),
        delimiter: str | None = None,
        encoding: str | None = None,
    ) -> pa.Table:
        """Predict each row of a table file, in order.

        Args:
            path: the file; `-` is standard input.
            keep: columns of the file to return beside the predictions, such as an identifier.
            delimiter: character between the cells of a CSV file. None: the one set for training.
            encoding: text encoding of a CSV file. None: the one set for training.

        Returns:
            The kept columns, the column `prediction`, and for classification a column
            `probability_<label>` for each class.

        Raises:
            SchemaError: a column to keep is missing, or has the name of a column of predictions.
        """
        table, source = self._read(path, delimiter, encoding), table_name(path)
        labels = [f"probability_{label_text(label)}" for label in self.classes]
        kept = take_kept(table, keep, ["prediction", *labels], source)
        others = [name for name in kept if name not in self.schema.names | self._beside]
        predictions, notes = self._predict_file(table.drop_columns(others), source)
        for note in notes:
            warnings.warn(f"{source}: {note}", AfinaWarning, stacklevel=2)
        columns: dict[str, Any] = {"prediction": self._labels(predictions)}
        if self.classes:
            columns["prediction"] = pa.array(columns["prediction"].tolist(), self._label_type())
            columns |= zip(labels, predictions.T, strict=True)
        return pa.table(kept | columns)

    def evaluate_table(
        self, path: str | Path, *, delimiter: str | None = None, encoding: str | None = None
    ) -> dict[str, Any]:
        """Score predictions on a table file that holds the target, compared with the baseline.

        Args: as for `predict_table`.

        Returns:
            `scores` and `baseline_scores` by name, the headline `score`, `rows` and `notes`.

        Raises:
            TableError: the file cannot be read as a table.
            SchemaError: a column is missing, or a label does not occur in the training rows.
        """
        facts = self.facts
        roles = Roles(facts.target, facts.weight, facts.group)
        table = self._read(path, delimiter, encoding)
        given = take_columns(table, roles, table_name(path), held_out=True)
        target = match_learned_target(given, facts.task, facts.classes, facts.missing_values)
        rows = np.flatnonzero(~target.missing)
        predictions, unusual = self._predict_file(given.features, given.source)
        predictions = predictions[rows]
        y, weights = target.values[rows], given.weights[rows] if facts.weight else None
        others = facts.baseline.predict(len(rows))
        scores = score(predictions, y, weights, facts.metric)
        baseline_scores = score(others, y, weights, facts.metric)
        name = choose_headline(len(facts.classes), facts.baseline, facts.metric)
        notes = left_out_notes(target, given.weights, given.source)
        doubt = ""
        if is_gain(name, scores[name], baseline_scores[name]):
            doubt = describe_doubt(name, predictions, others, y, given.weights[rows])
        elif np.isfinite(scores[name]):
            doubt = f"the model's {name} is no better than the baseline's"
        return {
            "task": facts.task,
            "target": facts.target,
            "score": name,
            "scores": {name: finite(value) for name, value in scores.items()},
            "baseline_scores": {name: finite(value) for name, value in baseline_scores.items()},
            "rows": {"scored": len(rows), "left_out": len(target.missing) - len(rows)},
            "notes": [*notes, *unusual, *([doubt] if doubt else [])],
        }

    def predict_features(
        self, features: Features, source: str, folds: NDArray[np.int64] | None = None
    ) -> Floats:
        """Predict probabilities or numbers from encoded rows, a bounded number of rows at a time.

        Args:
            features: the rows, encoded by this predictor's schema.
            source: what to call the rows in messages.
            folds: fold of each training row; each row is then predicted by the members that held it
                out.

        Raises:
            NonFiniteError: a prediction is not finite.
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
        predictions = np.concatenate(parts)
        bad = ~np.isfinite(predictions.reshape(n_rows, -1)).all(axis=1)
        if bad.any():
            row = int(np.argmax(bad))
            raise NonFiniteError(
                "every prediction must be finite",
                but=f"that for row {row + 1} of {source} is {predictions[row]}",
                fix="Check this row, and fit again with a lower train.lr.",
            )
        return predictions

    def predict_row_quickly(self, row: Mapping[str, object]) -> Floats | None:
        """Predict one row without making a table; return None if the row needs one."""
        features = self._encoder.encode(row)
        if features is None:
            return None
        prediction = self._outputs(features.x_num, features.x_cat, features.x_time)
        return prediction if np.isfinite(prediction).all() else None

    def _outputs(self, *arrays: NDArray[Any]) -> Floats:
        parts = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
        work = len(parts[0]) * self._n_parameters
        with torch_threads(1 if work < _LITTLE_WORK else None), torch.inference_mode():
            outputs = self._exact(*parts)
        return to_predictions(outputs.numpy(), len(self.classes))

    def _predict(self, data: object) -> Floats:
        row = only_row(data)
        prediction = None if row is None else self.predict_row_quickly(row)
        if prediction is not None:
            return prediction
        return self._predict_table(self._name_by_position(data, to_table(data)), "the table")

    def _name_by_position(self, data: object, table: pa.Table) -> pa.Table:
        """Give numbered columns the names of the training columns."""
        names = [column.name for column in self.schema.columns]
        if not has_no_names(data) or table.num_columns != len(names):
            return table
        if not all(name in (f"x{at}", str(at)) for at, name in enumerate(names)):
            warnings.warn(
                "The table has no column names, but the model learned from "
                f"{list_names(names)}; its columns are read in this order.",
                AfinaWarning,
                stacklevel=4,
            )
        return table.rename_columns(names)

    def _predict_row(self, row: Mapping[str, object]) -> Floats:
        row = name_cells(row, [column.name for column in self.schema.columns])
        prediction = self.predict_row_quickly(row)
        if prediction is not None:
            return prediction
        return self._predict_table(
            to_table({name: [cell] for name, cell in row.items()}), "the table"
        )

    def _predict_table(self, table: pa.Table, source: str) -> Floats:
        return self.predict_features(self._encode(table, source), source)

    def _predict_file(self, table: pa.Table, source: str) -> tuple[Floats, list[str]]:
        """Predict a table, and say which cells are unlike all training rows."""
        features = self._encode(table, source)
        return self.predict_features(features, source), unusual_notes(table, self.schema, features)

    def _encode(self, table: pa.Table, source: str) -> Features:
        others = [name for name in table.column_names if name in self._beside]
        return encode(table.drop_columns(others), self.schema, source=source)

    def _check_classes(self) -> None:
        if not self.classes:
            raise SchemaError(
                "probabilities need a target with classes",
                but=f"{self.target!r} is a number",
                fix="Use predict.",
            )

    def _labels(self, predictions: Floats) -> NDArray[Any]:
        if not self.classes:
            return predictions
        labels = np.array(self.classes)
        if labels.tolist() != list(self.classes):  # numpy converted some to another type
            labels = np.empty(len(self.classes), dtype=object)
            labels[:] = self.classes
        chosen: NDArray[Any] = labels[predictions.argmax(axis=1)]
        return chosen

    def _label_type(self) -> pa.DataType:
        kinds = {type(label) for label in self.classes}
        if kinds == {bool}:
            return pa.bool_()
        if kinds == {int}:
            return pa.int64() if all(abs(int(x)) < 2**63 for x in self.classes) else pa.string()
        return pa.float64() if kinds == {float} else pa.string()

    def _read(self, path: str | Path, delimiter: str | None, encoding: str | None) -> pa.Table:
        return read_table(
            path,
            delimiter=delimiter or self.facts.delimiter,
            encoding=encoding or self.facts.encoding,
        )


def label_text(label: Label) -> str:
    """Return a label as the text that stands for it in a table."""
    if isinstance(label, bool):
        return "true" if label else "false"
    return str(label)
