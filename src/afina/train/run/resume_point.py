"""Find the checkpoint to continue from, and name what has changed since it was written."""

import platform
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from afina.errors import AfinaWarning, CheckpointError, ConfigError, StorageError
from afina.process_state import torch_threads
from afina.storage import (
    checkpoint_step,
    flatten_state,
    list_checkpoints,
    remove_folder,
    restore_state,
)
from afina.train.loop import TrainSetup
from afina.train.processes import ALONE, Processes, only_first
from afina.train.rates import load_scheduler_state, scheduler_state
from afina.train.run.checkpoint import Snapshot, read_newest
from afina.train.run.run_tensors import all_tensors, load_tensors
from afina.train.settings import LoopSettings
from afina.train.state import TrainState


def find_snapshot(
    run_dir: Path | None, record: Mapping[str, Any], *, resume: bool
) -> Snapshot | None:
    """Find the newest complete checkpoint of a run, or make sure that there is none yet.

    Args:
        run_dir: the run's folder. None: nothing is kept.
        record: settings that must be the same as when the run was started.
        resume: whether to continue an existing run.

    Returns:
        The checkpoint to continue from. None: start from the beginning.

    Raises:
        StorageError: a run exists, and `resume` is false.
        ConfigError: the settings differ.
        CheckpointError: there are checkpoints, and all of them are damaged.
    """
    if run_dir is None:
        if resume:
            raise ConfigError(
                "resume=True needs run_dir, the folder of the run to continue",
                but="there is none",
                fix="Pass run_dir.",
            )
        return None
    folder = run_dir / "checkpoints"
    checkpoints = list_checkpoints(folder)
    if not resume:
        if checkpoints:
            raise StorageError(
                f"{run_dir} must hold no run yet",
                but="it has checkpoints",
                fix="Pass resume=True to continue it, or another run_dir.",
            )
        return None
    snapshot, passed_over = read_newest(folder)
    for line in passed_over:
        warnings.warn(line, AfinaWarning, stacklevel=2)
    if snapshot is None:
        if passed_over:
            raise CheckpointError(
                f"{folder} must hold an undamaged checkpoint",
                but="; ".join(passed_over),
                fix="Start again in another folder.",
            )
        return None
    _check_settings(record, snapshot.settings)
    for path in checkpoints:
        if checkpoint_step(path) > checkpoint_step(snapshot.path):  # damaged, with a warning above
            remove_folder(path)
    return snapshot


def shared_snapshot(processes: Processes, find: Callable[[], Snapshot | None]) -> Snapshot | None:
    """Let rank 0 find the checkpoint to continue from, and send it to all the others.

    Args:
        find: returns the snapshot, or None; run on rank 0.

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
    """Return what a run's exact bits depend on, apart from its settings."""
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
    """Restore the thread count of a run, and warn of what cannot be restored."""
    threads = before.get("threads")
    with torch_threads(None if threads is None else int(threads)):
        _name_changes(before, conditions(device, processes, sharding), processes)
        yield


def _name_changes(before: Mapping[str, Any], now: Mapping[str, Any], processes: Processes) -> None:
    """Warn of the conditions that have changed since the run was interrupted."""
    changed = [
        f"{k} was {before.get(k)} and is now {now[k]}" for k in now if now[k] != before.get(k)
    ]
    if changed and processes.first:
        recounted = before.get("n_processes") != now["n_processes"]
        dropout = "; dropout draws different numbers" if recounted else ""
        warnings.warn(
            f"the resumed run may differ in its last bits: {', '.join(changed)}{dropout}",
            AfinaWarning,
            stacklevel=2,
        )


@contextmanager
def continued(
    setup: TrainSetup,
    state: TrainState,
    snapshot: Snapshot | None,
    device: torch.device,
    processes: Processes,
) -> Iterator[None]:
    """Restore a run to its snapshot, under the same conditions within the `with` block.

    Args:
        setup: the model, optimizer and data to restore.
        state: the state to restore; a run that ended at a limit continues if the limit is higher
            now.
        snapshot: the checkpoint. None: the run starts from the beginning.
    """
    if snapshot is None:
        yield
        return
    sharding = setup.settings.sharding
    with same_conditions(snapshot.conditions, device, processes, sharding):
        trees = load_tensors(
            setup.model, setup.optimizer, snapshot.trees, sharded=sharding is not None
        )
        if isinstance(setup.schedule, LRScheduler) and "schedule" in trees:
            load_scheduler_state(setup.schedule, trees["schedule"])
        state.restore(snapshot.state, trees)
        _extend(state, setup.settings)
        setup.data.seek(snapshot.position)
        yield


def checkpoint_content(
    setup: TrainSetup, record: Mapping[str, Any], device: torch.device, processes: Processes
) -> Callable[[TrainState], tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Return a function from the state to the `trees` and `extra` of its checkpoint."""
    sharding = setup.settings.sharding

    def content(state: TrainState) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        trees = all_tensors(
            setup.model, setup.optimizer, state, sharded=sharding is not None, keep=processes.first
        )
        if isinstance(setup.schedule, LRScheduler):
            trees["schedule"] = scheduler_state(setup.schedule)
        return trees, {
            "position": setup.data.position(),
            "conditions": conditions(device, processes, sharding),
            "settings": record,
        }

    return content


def _extend(state: TrainState, settings: LoopSettings) -> None:
    """Let a run that ended at a limit continue if the limit is higher now."""
    if state.stop is None or state.stop.reason not in ("max_epochs", "max_steps"):
        return
    steps_left = settings.max_steps is None or state.step < settings.max_steps
    if steps_left and state.epoch < settings.max_epochs:
        state.stop = None


def _check_settings(now: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """Compare the keys that both have: an earlier version may not have recorded all of them."""
    changed = [
        f"{k} was {before[k]} and is now {now[k]}"
        for k in now
        if k in before and now[k] != before[k]
    ]
    if changed:
        raise ConfigError(
            "A run must be resumed with the settings it was started with",
            but=", ".join(changed),
            fix="Restore them, or start a new run.",
        )
