"""Write the folder that a fitted model is shipped in; `afina.load` reads it."""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from torch import nn

from afina.errors import StorageError
from afina.storage import (
    MANIFEST,
    commit_folder,
    make_folder,
    remove_folder,
    save_tensors,
    storage_error,
)
from afina.table import Schema
from afina.tabular.prediction.model_record import ModelRecord, write_record

FILES = ("model.safetensors", "schema.json", "config.toml", "model.json")


def model_files(
    model: nn.Module, schema: Schema, record: ModelRecord, config_toml: bytes
) -> dict[str, bytes]:
    """Return the content of a model folder, without its manifest.

    Args:
        model: preprocessing, network and target scale.
        schema: the columns that it learned from.
        record: settings, shape and facts about the target.
        config_toml: the settings as the user gave them.
    """
    return {
        "model.safetensors": save_tensors(dict(model.state_dict())),
        "schema.json": write_schema(schema),
        "config.toml": config_toml,
        "model.json": write_record(record),
    }


def write_schema(schema: Schema) -> bytes:
    """Encode schema.json."""
    content = schema.to_dict()
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def save_folder(path: Path, files: Mapping[str, bytes], *, overwrite: bool) -> None:
    """Write a model folder: complete, or not at all.

    Args:
        path: a new or empty folder; missing parent folders are created.
        files: from `model_files`.
        overwrite: replace a model that is already there.

    Raises:
        StorageError: something else is there, or the folder cannot be written.
    """
    if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
        path.rmdir()
    if not os.path.lexists(path):
        make_folder(path.parent)
        commit_folder(path, files)
        return
    _check_may_replace(path, overwrite=overwrite)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    commit_folder(draft, files)
    remove_folder(path)
    try:
        draft.rename(path)
    except OSError as reason:
        raise storage_error(
            f"the new model must replace {path}",
            reason,
            but=f"that failed: {reason.strerror}",
            fix=f"It is complete in {draft}; move it there by hand.",
        ) from reason


def _check_may_replace(path: Path, *, overwrite: bool) -> None:
    must = "A model must be saved to a new or empty folder"
    is_model = path.is_dir() and {file.name for file in path.iterdir()} == {*FILES, MANIFEST}
    if not is_model:
        raise StorageError(
            must,
            but=f"{path} exists and is not a saved model",
            fix="Choose another path.",
        )
    if not overwrite:
        raise StorageError(
            must,
            but=f"{path} holds a model",
            fix="Choose another path, or pass overwrite=True.",
        )
