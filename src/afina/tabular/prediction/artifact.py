"""The shipped model on disk: a folder that is whole or refused, and never runs code."""

import json
from pathlib import Path

import torch
from torch import Tensor

from afina.errors import CheckpointError
from afina.preprocess import Preprocess
from afina.storage import load_tensors, save_tensors, verify_folder
from afina.table import Schema
from afina.tabular.prediction.model_record import Facts, read_facts, write_facts
from afina.tabular.prediction.predictor import Predictor
from afina.tabular.training.network_spec import NetworkSpec, make, read_spec, write_spec
from afina.tabular.training.tabular_model import TabularModel
from afina.tabular.training.target_scale import make_target_scale

FILES = ("model.safetensors", "schema.json", "config.toml", "model.json")


def model_files(
    model: TabularModel, spec: NetworkSpec, schema: Schema, facts: Facts, config_toml: bytes
) -> dict[str, bytes]:
    """Return the content of a model folder, without its manifest."""
    return {
        "model.safetensors": save_tensors(dict(model.state_dict())),
        "schema.json": write_schema(schema),
        "config.toml": config_toml,
        "model.json": write_facts(facts, model.preprocess.spec(), write_spec(spec)),
    }


def write_schema(schema: Schema) -> bytes:
    """Encode schema.json."""
    text = json.dumps(schema.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def load(path: str | Path) -> Predictor:
    """Load a fitted model from a run folder or its `model/` folder; no code in it is ever run.

    Raises:
        CheckpointError: there is none, or it is damaged, incomplete or not ours.
    """
    folder = find_model(Path(path))
    files = verify_folder(folder)
    missing = [name for name in FILES if name not in files]
    if missing:
        raise CheckpointError(
            f"A model folder must have {', '.join(FILES)}, however: {folder} lacks "
            f"{', '.join(missing)}. Copy the whole folder again from where it is whole."
        )
    schema = read_schema(files["schema.json"], f"{folder / 'schema.json'}")
    facts, preprocess, network = read_facts(files["model.json"], f"{folder / 'model.json'}")
    tensors = load_tensors(files["model.safetensors"], source=f"{folder / 'model.safetensors'}")
    spec = read_spec(network, schema, tensors, f"{folder / 'model.json'}")
    try:
        model = _rebuild(preprocess, spec, schema, facts)
        _check_shapes(model, tensors)
        model.load_state_dict(tensors)
        return _tried(Predictor(model, schema, facts))
    except CheckpointError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, RuntimeError, MemoryError) as reason:
        what = " ".join(str(reason).split())[:200]
        raise CheckpointError(
            f"A model must fit its own description, however: that in {folder} does not "
            f"({type(reason).__name__}: {what}). Copy the whole folder again from where it is "
            "whole, or fit again."
        ) from None


def find_model(path: Path) -> Path:
    """Find the model folder: the path itself, or `model` in it."""
    if (path / "model").is_dir():
        return path / "model"
    if (path / "model.json").is_file():
        return path
    if not path.exists():
        raise CheckpointError(
            f"A model must be a run folder or its model folder, however: {path} does not exist."
        )
    if (path / "run.json").is_file():
        raise CheckpointError(
            f"{path} must hold a finished run, however: it has no model yet. "
            f"Continue with: afina resume {path}"
        )
    raise CheckpointError(
        f"A model must be a run folder or its model folder, however: {path} is neither. "
        "Name the folder that `afina fit` made."
    )


def read_schema(data: bytes, source: str) -> Schema:
    """Decode schema.json.

    Raises:
        CheckpointError: it is damaged.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise CheckpointError(f"{source} must be JSON, however: it is not. Fit again.") from None
    return Schema.from_dict(content, source)


def _rebuild(
    preprocess: dict[str, object], spec: NetworkSpec, schema: Schema, facts: Facts
) -> TabularModel:
    """Build a model of the right shapes; its numbers come from the file."""
    made = Preprocess.from_spec(preprocess)
    if (tuple(made.num_names), tuple(made.time_names)) != (schema.num_names, schema.time_names):
        raise ValueError("preprocessing and schema name different columns")
    if (len(facts.classes) or 1) != spec.d_out:
        raise ValueError("the network has another number of outputs than there are classes")
    network = make(spec, schema, torch.Generator())
    target = make_target_scale(spec.target_transform, spec.n_target_knots, clips=spec.clips)
    return TabularModel(made, network, n_classes=len(facts.classes), target=target)


def _check_shapes(model: TabularModel, tensors: dict[str, Tensor]) -> None:
    """Raise ValueError unless names, shapes and kinds of numbers are those of the model."""
    wanted = {name: (tensor.shape, tensor.dtype) for name, tensor in model.state_dict().items()}
    found = {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise ValueError(f"tensor {name!r:.80} is {found.get(name)}, not {wanted.get(name)}")


def _tried(predictor: Predictor) -> Predictor:
    """Make sure that all numbers are finite, and that a row goes through."""
    for name, tensor in predictor.model.state_dict().items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise ValueError(f"{name} holds a number that is not finite")
    schema = predictor.schema
    model = predictor.model
    with torch.no_grad():
        model(
            torch.full((1, len(schema.num_columns)), torch.nan, dtype=torch.float64),
            torch.zeros((1, len(schema.cat_columns)), dtype=torch.int64),
            torch.full((1, len(schema.time_columns)), torch.nan, dtype=torch.float64),
        )
    return predictor
