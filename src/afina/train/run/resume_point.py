"""Finding the place to go on from, and naming what is not as it was."""

import platform
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from afina.errors import AfinaWarning, CheckpointError, ConfigError, StorageError
from afina.storage import (
    checkpoint_step,
    flatten_state,
    list_checkpoints,
    remove_folder,
    restore_state,
)
from afina.train.loop import Limits
from afina.train.processes import ALONE, Processes, only_first
from afina.train.run.checkpoint import Snapshot, read_newest
from afina.train.state import TrainState


def find_snapshot(
    run_dir: Path | None, settings: Mapping[str, Any], *, resume: bool
) -> Snapshot | None:
    """Find the newest whole checkpoint of a run, or make sure that there is none yet.

    Args:
        run_dir: the run's folder; none: nothing is kept.
        settings: must be the same as when the run was started.
        resume: whether to go on with a run that is there.

    Returns:
        Where to go on from; none: from the start.

    Raises:
        StorageError: there is a run, and `resume` is false.
        ConfigError: the settings differ.
        CheckpointError: there are checkpoints, and every one is damaged.
    """
    if run_dir is None:
        if resume:
            raise ConfigError("resume=True needs run_dir, the folder of the run to go on with.")
        return None
    folder = run_dir / "checkpoints"
    found = list_checkpoints(folder)
    if not resume:
        if found:
            raise StorageError(
                f"{run_dir} must hold no run yet, however: it has checkpoints. "
                "Pass resume=True to go on with it, or another run_dir."
            )
        return None
    snapshot, passed_over = read_newest(folder)
    for line in passed_over:
        warnings.warn(line, AfinaWarning, stacklevel=2)
    if snapshot is None:
        if passed_over:
            raise CheckpointError(
                f"{folder} must hold a whole checkpoint, however: {'; '.join(passed_over)}. "
                "Start anew in another folder."
            )
        return None
    _check_settings(settings, snapshot.settings)
    for path in found:
        if checkpoint_step(path) > checkpoint_step(
            snapshot.path
        ):  # damaged: it was passed over by name above
            remove_folder(path)
    return snapshot


def shared_snapshot(processes: Processes, find: Callable[[], Snapshot | None]) -> Snapshot | None:
    """Let rank 0 find the place to go on from, and give it to all: nobody else reads the disk.

    Args:
        find: gives the snapshot, or none; run on rank 0.

    Raises:
        AfinaError: what `find` raised; a PeerError on the other ranks.
    """
    snapshot = only_first(processes, find)
    if processes.alone:
        return snapshot
    tensors: dict[str, Tensor] = {}
    head = None
    if snapshot is not None:
        tensors, tree = flatten_state(snapshot.trees)
        kinds = {
            name: [str(t.dtype).removeprefix("torch."), list(t.shape)]
            for name, t in tensors.items()
        }
        head = {**vars(snapshot), "path": str(snapshot.path), "trees": tree, "kinds": kinds}
    head = processes.broadcast_json(head)
    if head is None:
        return None
    kinds = head.pop("kinds")
    if not processes.first:
        tensors = {
            name: torch.empty(shape, dtype=getattr(torch, kind))
            for name, (kind, shape) in kinds.items()
        }
    processes.broadcast_(list(tensors.values()))
    trees = restore_state(tensors, head["trees"])
    return Snapshot(**{**head, "path": Path(head["path"]), "trees": trees})


def conditions(
    device: torch.device, processes: Processes = ALONE, sharding: str | None = None
) -> dict[str, Any]:
    """Say under what a run's bits hold: the same threads, torch, processors and processes."""
    return {
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "device": device.type,
        "n_processes": processes.n_processes,
        "sharding": sharding,
    }


@contextmanager
def same_conditions(
    before: Mapping[str, Any],
    device: torch.device,
    processes: Processes = ALONE,
    sharding: str | None = None,
) -> Iterator[None]:
    """Restore the thread count of a run, and warn by name of what cannot be restored."""
    threads = torch.get_num_threads()
    if before.get("threads") != threads:
        torch.set_num_threads(int(before["threads"]))
    now = conditions(device, processes, sharding)
    changed = [f"{k} was {before.get(k)}, is {now[k]}" for k in now if now[k] != before.get(k)]
    if changed and processes.first:
        recounted = before.get("n_processes") != now["n_processes"]
        dropout = "; dropout draws other numbers" if recounted else ""
        warnings.warn(
            f"the resumed run may differ in its last bits: {', '.join(changed)}{dropout}",
            AfinaWarning,
            stacklevel=2,
        )
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def extend(state: TrainState, limits: Limits) -> None:
    """Let a run that ended at a limit go on where the limit is higher now."""
    if state.stop is None or state.stop.reason not in ("max_epochs", "max_steps"):
        return
    steps_left = limits.max_steps is None or state.step < limits.max_steps
    if steps_left and state.epoch < limits.max_epochs:
        state.stop = None


def _check_settings(now: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    changed = [f"{k} was {before.get(k)}, is {now[k]}" for k in now if now[k] != before.get(k)]
    if changed:
        raise ConfigError(
            "A run is resumed with the settings it was started with, however: "
            f"{', '.join(changed)}. Set them back, or start a new run."
        )
