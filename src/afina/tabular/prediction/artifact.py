"""Read the shipped model: a folder that never runs code, and is rejected unless it is complete."""

import contextlib
import json
import warnings
from pathlib import Path

import torch
from torch import Tensor

from afina.errors import AfinaWarning, CheckpointError
from afina.preprocess import Preprocess
from afina.process_state import plain_torch
from afina.records.run_json import read_run_record
from afina.storage import list_numbered, load_tensors, verify_folder
from afina.table import Schema, is_stdin
from afina.tabular.prediction.model_folder import FILES
from afina.tabular.prediction.model_record import ModelRecord, check_fits, read_record
from afina.tabular.prediction.predictor import Predictor
from afina.tabular.training.tabular_model import TabularModel, make_table_network
from afina.tabular.training.target_scale import make_target_scale


@plain_torch()
def load(path: str | Path) -> Predictor:
    """Load a fitted model from a run folder or a model folder, without running code from it.

    Args:
        path: a folder that `afina fit`, an estimator with `run_dir`, or `save` has written.

    Raises:
        CheckpointError: there is no model, or it is damaged, incomplete or not made by afina.
    """
    folder = find_model(Path(path))
    files = verify_folder(folder)
    if missing := [name for name in FILES if name not in files]:
        raise CheckpointError(
            f"A model folder must have {', '.join(FILES)}",
            but=f"{folder} lacks {', '.join(missing)}",
            fix="Copy the whole folder again from an undamaged original.",
        )
    where = f"{folder / 'model.json'}"
    schema = read_schema(files["schema.json"], f"{folder / 'schema.json'}")
    record = read_record(files["model.json"], where)
    tensors = load_tensors(files["model.safetensors"], source=f"{folder / 'model.safetensors'}")
    try:
        check_fits(record, schema, tensors, where)
        model = _rebuild(record, schema)
        _check_shapes(model, tensors)
        model.load_state_dict(tensors)
        return _tried(Predictor(model, schema, record, files["config.toml"]))
    except CheckpointError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, RuntimeError, MemoryError) as reason:
        what = " ".join(str(reason).split())[:200]
        raise CheckpointError(
            "A model must match its own description",
            but=f"the one in {folder} does not ({what or 'out of memory'})",
            fix="Copy the whole folder again from an undamaged original, or fit again.",
        ) from None


def find_model(path: Path) -> Path:
    """Return the model folder: the path itself, or its subfolder `model`."""
    later = list_numbered(path)
    if (path / "model").is_dir():
        if later:
            warnings.warn(
                f"{path} holds several runs, and this is the model of the first. The last one is "
                f"{later[-1]}; choose the run that you mean.",
                AfinaWarning,
                stacklevel=4,
            )
        return path / "model"
    if (path / "model.json").is_file():
        return path
    if not path.exists():
        raise CheckpointError(
            "A model must be a run folder or a model folder",
            but=f"{path} does not exist",
            fix="Correct the path.",
        )
    if later:
        raise CheckpointError(
            f"{path} must be the folder of one run",
            but=f"it holds {len(later):,}",
            fix=f"Choose one of them, such as {later[-1]}.",
        )
    if (path / "run.json").is_file():
        raise CheckpointError(
            f"{path} must hold a finished run",
            but="it has no model yet",
            fix=f"Continue with: afina resume {path}" if _can_resume(path) else "Fit again.",
        )
    raise CheckpointError(
        "A model must be a run folder or a model folder",
        but=f"{path} is neither",
        fix="Choose a folder that `afina fit`, or `save` in Python, has written.",
    )


def _can_resume(run: Path) -> bool:
    """Return whether a run's table is a file; rows from Python or stdin cannot be read again."""
    with contextlib.suppress(CheckpointError):
        table = read_run_record(run).table
        return table is not None and not is_stdin(table.path)
    return True  # `resume` says what is wrong with run.json


def read_schema(data: bytes, source: str) -> Schema:
    """Decode schema.json.

    Raises:
        CheckpointError: it is damaged.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise CheckpointError(f"{source} must be JSON", but="it is not", fix="Fit again.") from None
    return Schema.from_dict(content, source)


def _rebuild(record: ModelRecord, schema: Schema) -> TabularModel:
    """Build a model with the right shapes, ready to load the stored tensors."""
    settings, shape, classes = record.preprocess, record.learned, record.classes
    if (len(classes) or 1) != shape.d_out:
        raise ValueError("the number of outputs of the network differs from the number of classes")
    if (shape.num_names, shape.time_names) != (schema.num_names, schema.time_names):
        raise ValueError("preprocessing and schema name different columns")
    preprocess = Preprocess.sized(
        settings.scaling,
        settings.impute,
        num_names=shape.num_names,
        time_names=shape.time_names,
        n_indicators=shape.n_indicators,
        n_timed=shape.n_timed,
        n_quantiles=shape.n_quantiles,
    )
    network = make_table_network(shape, schema, record.model, settings, torch.Generator())
    kind = settings.target_transform
    if kind == "auto":
        raise ValueError("the transform of the target is not resolved")
    target = make_target_scale(kind, shape.n_target_knots, clips=settings.clip_predictions)
    return TabularModel(preprocess, network, n_classes=len(classes), target=target)


def _check_shapes(model: TabularModel, tensors: dict[str, Tensor]) -> None:
    """Raise ValueError unless the tensors match the model's in name, shape and type."""
    own = {name: (tensor.shape, tensor.dtype) for name, tensor in model.state_dict().items()}
    stored = {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
    for name in sorted(own.keys() | stored.keys()):
        if own.get(name) != stored.get(name):
            raise ValueError(f"tensor {name!r:.80} is {stored.get(name)}, not {own.get(name)}")


def _tried(predictor: Predictor) -> Predictor:
    """Return the predictor if all its numbers are finite and it can predict a row."""
    for name, tensor in predictor.model.state_dict().items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise ValueError(f"{name} holds a number that is not finite")
    schema = predictor.schema
    with torch.no_grad():
        predictor.model(
            torch.full((1, len(schema.num_columns)), torch.nan, dtype=torch.float64),
            torch.zeros((1, len(schema.cat_columns)), dtype=torch.int64),
            torch.full((1, len(schema.time_columns)), torch.nan, dtype=torch.float64),
        )
    return predictor
