"""Checkpoints: complete or absent, never code, and always enough to continue bit for bit.

A save pauses training only while every tensor is copied into reserved memory. A
background thread then hashes, writes and commits the copy while training continues.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from torch import Tensor

from afina.errors import CheckpointError, StorageError
from afina.storage import (
    Background,
    checkpoint_name,
    checkpoint_step,
    commit_folder,
    list_checkpoints,
    load_tensors,
    make_folder,
    remove_folder,
    restore_state,
    sweep,
    verify_file,
    verify_folder,
)
from afina.storage.manifest import shown
from afina.train.run.checkpoint_files import STATE, Files, PackedTrees
from afina.train.run.checkpoint_plan import CheckpointPlan
from afina.train.state import TrainState

if TYPE_CHECKING:
    from afina.records.state_json import CheckpointState


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint as read from disk, verified.

    Args:
        state: what `TrainState.to_dict` returned.
        trees: nested states of tensors: `model`, `optimizer`, and `best` and `average` where they
            differ from the model's.
    """

    path: Path
    state: Mapping[str, Any]
    trees: Mapping[str, Any]
    position: Any
    metrics_bytes: int
    conditions: Mapping[str, Any]
    settings: Mapping[str, Any]


class Keeper:
    """Write checkpoints into `<run>/checkpoints`, and remove those that the plan does not keep.

    A `with` statement ends only when the last write has ended. Errors in the background are raised
    by the next call of `due`, `save` or `wait`, or at the end of the `with` statement.

    Args:
        folder: the checkpoints folder; created if it does not exist.
        plan: when to write checkpoints, and which to keep.
        higher_is_better: direction of the monitored metric.
    """

    def __init__(self, folder: Path, plan: CheckpointPlan, *, higher_is_better: bool) -> None:
        self.folder = folder
        self.plan = plan
        self.sign = -1.0 if higher_is_better else 1.0
        make_folder(folder)
        sweep(folder)
        self.values = {path: _monitored(path) for path in list_checkpoints(folder)}
        self.saved_at = time.monotonic()
        self.saved_step = -1
        self._work = Background()
        self._durable: deque[Path] = deque()
        self._known = self.values
        self._packed = PackedTrees()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        try:
            self.wait()
        except StorageError as failed:
            if error is None:
                raise
            error.add_note(f"In addition, the last checkpoint was not saved: {failed}")

    def due(self, state: TrainState, value: float | None) -> bool:
        """Return whether a checkpoint is due now.

        Args:
            state: the current state of the run.
            value: the monitored metric, if it has just been evaluated.

        Raises:
            StorageError: the last checkpoint could not be written; earlier ones are unchanged.
        """
        self._settle(self._work.check)
        plan, step = self.plan, state.step
        is_best = plan.keep_best > 0 and value is not None and self._among_best(value)
        if step == self.saved_step:
            # The last step of a stream of unknown length was saved before its evaluation.
            return is_best and self.values.get(self._path(step)) is None
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
            or is_best
        )

    def save(
        self,
        state: TrainState,
        trees: Mapping[str, Any],
        extra: Mapping[str, Any],
        value: float | None,
        *,
        first: Callable[[], None] | None = None,
    ) -> Path:
        """Copy the tensors of a checkpoint, and start writing it.

        The checkpoint is durable after `wait`, or when `finished` lists it. Then those that the
        plan no longer keeps are removed. The tree named `best` must not change in place: as long as
        it is the same object, it is not copied again.

        Args:
            state: the current state of the run.
            trees: nested states of tensors by name, as in `Snapshot`.
            extra: the other fields of `Snapshot`: position, metrics_bytes, conditions, settings.
            value: the monitored metric at this step, if it was evaluated.
            first: called in the background before the checkpoint may appear, to make durable the
                metrics that `extra` counts.

        Raises:
            StorageError: the checkpoint before this one could not be written.
            CheckpointError: a tree holds something that cannot be stored.
        """
        self.wait()
        goal = self._path(state.step)
        files: Files = {}
        known = goal in self.values  # written before a resume, or before this step's evaluation
        # A checkpoint without its metric is replaced only if another exists, in case this is cut
        # short.
        replaces = (
            known and self.values[goal] is None and value is not None and len(self.values) > 1
        )
        if replaces or not known:
            head = {"state": state.to_dict(), "monitored": value, **extra}
            files = self._packed.pack(trees, head)
        if value is not None or not known:
            self.values[goal] = value
        self.saved_at, self.saved_step = time.monotonic(), state.step
        self._known = dict(self.values)
        # Decided here, so that the result of `due` does not depend on the speed of the disk.
        gone = sorted(set(self.values) - self._kept())
        for path in gone:
            del self.values[path]

        def write() -> None:
            if first is not None:
                first()
            if replaces:
                remove_folder(goal)
            if files:
                commit_folder(goal, files)
            self._durable.append(goal)
            for path in gone:
                remove_folder(path)

        self._work.start(write)
        return goal

    def finished(self) -> list[Path]:
        """List the checkpoints that have become durable since the last call."""
        return [self._durable.popleft() for _ in range(len(self._durable))]

    def wait(self) -> None:
        """Wait until the last checkpoint is durable.

        Raises:
            StorageError: that checkpoint could not be written; earlier ones are unchanged.
        """
        self._settle(self._work.wait)

    def _path(self, step: int) -> Path:
        return self.folder / checkpoint_name(step)

    def _settle(self, ask: Callable[[], None]) -> None:
        """Raise an error from the background thread, after listing what is on disk."""
        try:
            ask()
        except BaseException:
            self.values = {path: v for path, v in self._known.items() if path.exists()}
            self.saved_step = -1
            raise

    def _kept(self) -> set[Path]:
        newest = sorted(self.values, key=checkpoint_step)[-self.plan.keep_last :]
        scored = [(self.sign * v, path) for path, v in self.values.items() if v is not None]
        return {*newest, *(path for _, path in sorted(scored)[: self.plan.keep_best])}

    def _among_best(self, value: float) -> bool:
        scores = sorted(self.sign * v for v in self.values.values() if v is not None)
        return len(scores) < self.plan.keep_best or (
            self.sign * value < scores[self.plan.keep_best - 1]
        )


def read_checkpoint(path: Path) -> Snapshot:
    """Read one checkpoint and check every byte of it.

    Raises:
        CheckpointError: the checkpoint is damaged, incomplete or not written by afina.
    """
    if path.is_symlink():
        raise CheckpointError(
            "A checkpoint must be a folder",
            but=f"{path} is a link to one",
            fix="Remove it, or put the folder itself in its place.",
        )
    files = verify_folder(path)
    record = _parse(files.pop(STATE, b""), path)
    return Snapshot(
        path=path,
        state=record.state,
        trees={name: _unpack(files, name, tree, path) for name, tree in record.trees.items()},
        position=record.position,
        metrics_bytes=record.metrics_bytes,
        conditions=record.conditions,
        settings=record.settings,
    )


def read_newest(folder: Path) -> tuple[Snapshot | None, list[str]]:
    """Read the newest checkpoint that is complete.

    Returns:
        The checkpoint, or None if there is none; and the checkpoints passed over, with the reasons.
    """
    passed_over: list[str] = []
    for path in reversed(list_checkpoints(folder)):
        try:
            return read_checkpoint(path), passed_over
        except CheckpointError as error:
            passed_over.append(f"skipped {path.name}: {error}")
    return None, passed_over


def _parse(state: bytes, path: Path) -> "CheckpointState":
    """Decode a checkpoint's state.json."""
    from afina.records.state_json import (  # noqa: PLC0415 - pydantic takes a fifth of a second
        parse_state,
    )

    return parse_state(state, path / STATE)


def _unpack(files: dict[str, bytes], name: str, tree: Any, path: Path) -> Any:
    """Restore a nested state from its file, and free the file's bytes."""
    file = f"{name}.safetensors"
    if file not in files:
        raise CheckpointError(
            f"{path} must hold the tensors that its {STATE} lists",
            but=f"there is no {shown(file)}",
            fix="Use another checkpoint.",
        )
    tensors: dict[str, Tensor] = load_tensors(files.pop(file), source=str(path / file))
    return restore_state(tensors, tree)


def _monitored(path: Path) -> float | None:
    """Read the metric that a checkpoint was kept for; None if there is none or it is damaged."""
    try:
        return _parse(verify_file(path, STATE), path).monitored
    except CheckpointError:
        return None
