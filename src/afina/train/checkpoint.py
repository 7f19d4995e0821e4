"""Checkpoints: whole or absent, never code, and always enough to go on bit for bit."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from afina.errors import CheckpointError
from afina.storage import (
    commit_folder,
    flatten_state,
    load_tensors,
    remove_folder,
    restore_state,
    save_tensors,
    sweep,
    verify_folder,
)
from afina.train.state import TrainState

FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class CheckpointPlan:
    """When checkpoints are written, and which of them stay. One is always written at the end.

    Args:
        every_steps: after every so many steps; none: not by steps.
        every_epochs: after every so many epochs.
        every_minutes: when the last one is so many minutes old.
        keep_last: how many of the newest stay, at least 1.
        keep_best: how many of the best by the monitored metric stay besides; one is then
            written at each evaluation that is among the best so far.
    """

    every_steps: int | None = None
    every_epochs: int | None = None
    every_minutes: float | None = 0.5
    keep_last: int = 2
    keep_best: int = 0


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint as read from disk, verified.

    Args:
        state: what `TrainState.to_dict` gave.
        trees: nested states of tensors: `model`, `optimizer`, and `best` and `average` where
            they are other than the model's.
    """

    path: Path
    state: Mapping[str, Any]
    trees: Mapping[str, Any]
    position: Any
    metrics_bytes: int
    conditions: Mapping[str, Any]
    settings: Mapping[str, Any]


class Keeper:
    """Write checkpoints by plan into `<run>/checkpoints`, and remove what the plan lets go.

    Args:
        folder: the checkpoints folder; made if it is not there.
        plan: when and which.
        higher_is_better: direction of the monitored metric.
    """

    def __init__(self, folder: Path, plan: CheckpointPlan, *, higher_is_better: bool) -> None:
        self.folder = folder
        self.plan = plan
        self.sign = -1.0 if higher_is_better else 1.0
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        self.values = {path: _monitored(path) for path in list_checkpoints(folder)}
        self.saved_at = time.monotonic()
        self.saved_step = -1

    def due(self, state: TrainState, value: float | None) -> bool:
        """Say whether a checkpoint is to be written now.

        Args:
            state: where the run is.
            value: the monitored metric, where an evaluation has just been made.
        """
        plan, step = self.plan, state.step
        if step == self.saved_step:
            return False
        at_epoch_end = state.step_in_epoch == 0
        return (
            (plan.every_steps is not None and step % plan.every_steps == 0)
            or (
                plan.every_epochs is not None
                and at_epoch_end
                and state.epoch % plan.every_epochs == 0
            )
            or (
                plan.every_minutes is not None
                and time.monotonic() - self.saved_at >= plan.every_minutes * 60
            )
            or (plan.keep_best > 0 and value is not None and self._among_best(value))
        )

    def save(
        self,
        state: TrainState,
        trees: Mapping[str, Any],
        extra: Mapping[str, Any],
        value: float | None,
    ) -> Path:
        """Write a checkpoint durably, then remove those that the plan no longer keeps.

        Args:
            state: where the run is.
            trees: nested states of tensors by name, as in `Snapshot`.
            extra: what else `Snapshot` holds: position, metrics_bytes, conditions, settings.
            value: the monitored metric at this very step, if evaluated.

        Raises:
            StorageError: it could not be written; earlier ones are as they were.
        """
        goal = self.folder / f"step-{state.step:08d}"
        if goal not in self.values:  # else it is there already, from before a resume
            commit_folder(goal, _pack(state, trees, extra, value))
            self.values[goal] = value
        self.saved_at, self.saved_step = time.monotonic(), state.step
        for path in set(self.values) - self._kept():
            remove_folder(path)
            del self.values[path]
        return goal

    def _kept(self) -> set[Path]:
        newest = sorted(self.values)[-self.plan.keep_last :]
        scored = [(self.sign * v, path) for path, v in self.values.items() if v is not None]
        return {*newest, *(path for _, path in sorted(scored)[: self.plan.keep_best])}

    def _among_best(self, value: float) -> bool:
        scores = sorted(self.sign * v for v in self.values.values() if v is not None)
        return len(scores) < self.plan.keep_best or (
            self.sign * value < scores[self.plan.keep_best - 1]
        )


def list_checkpoints(folder: Path) -> list[Path]:
    """List committed checkpoints, oldest first; whether they are whole is not looked at."""
    return sorted(path for path in folder.glob("step-*") if path.is_dir())


def read_checkpoint(path: Path) -> Snapshot:
    """Read one checkpoint and check every byte of it.

    Raises:
        CheckpointError: it is damaged, incomplete or not ours.
    """
    files = verify_folder(path)
    try:
        head = json.loads(files["state.json"])
        if head["format"] != FORMAT:
            raise CheckpointError(
                f"{path} must have format {FORMAT}, however: {head['format']}. "
                "It was written by another version of afina; use that one."
            )
        return Snapshot(
            path=path,
            state=head["state"],
            trees={name: _unpack(files, name, head, path) for name in head["trees"]},
            position=head["position"],
            metrics_bytes=int(head["metrics_bytes"]),
            conditions=head["conditions"],
            settings=head["settings"],
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path} is not a checkpoint of afina: {error!r}.") from error


def read_newest(folder: Path) -> tuple[Snapshot | None, list[str]]:
    """Read the newest checkpoint that is whole.

    Returns:
        The checkpoint, none if there is none; and what was passed over, and why.
    """
    passed_over: list[str] = []
    for path in reversed(list_checkpoints(folder)):
        try:
            return read_checkpoint(path), passed_over
        except CheckpointError as error:
            passed_over.append(f"passed over {path.name}: {error}")
    return None, passed_over


def _pack(
    state: TrainState,
    trees: Mapping[str, Any],
    extra: Mapping[str, Any],
    value: float | None,
) -> dict[str, bytes]:
    head: dict[str, Any] = {
        "format": FORMAT,
        "state": state.to_dict(),
        "monitored": value,
        "trees": {},
        **extra,
    }
    files = {}
    for name, tree in trees.items():
        tensors, head["trees"][name] = flatten_state(tree)
        files[f"{name}.safetensors"] = save_tensors(tensors)
    files["state.json"] = json.dumps(head).encode()
    return files


def _unpack(files: Mapping[str, bytes], name: str, head: Any, path: Path) -> Any:
    file = f"{name}.safetensors"
    tensors: dict[str, Tensor] = load_tensors(files[file], source=str(path / file))
    return restore_state(tensors, head["trees"][name])


def _monitored(path: Path) -> float | None:
    """Read the metric a checkpoint was kept for; a damaged one was kept for nothing."""
    try:
        value = json.loads((path / "state.json").read_bytes())["monitored"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return float(value) if isinstance(value, int | float) else None
