"""Read the weights of a run from its folder, whether it has ended, was killed, or still trains."""

import warnings
from pathlib import Path
from typing import Literal

from torch import Tensor

from afina.errors import AfinaWarning, CheckpointError, ConfigError
from afina.storage import checkpoint_step, list_checkpoints
from afina.train.run.checkpoint import Snapshot, read_checkpoint, read_newest
from afina.train.trained_module import LOSS


def load_weights(
    run: str | Path, which: Literal["best", "last"] | int = "best"
) -> dict[str, Tensor]:
    """Read the weights of a `Trainer`'s run, for `model.load_state_dict`; no code in it is ever run.

    Args:
        run: the folder that was `run_dir`.
        which: `best`: the weights that a fit ends on: the best ones by `monitor` or, without
            validation rows, the average (see `averaging`) or the last ones. `last`: the weights
            after the last step that was saved. A number: those of the checkpoint of this step.

    Raises:
        ConfigError: `which` is none of these, or there is no checkpoint of this step.
        CheckpointError: there is no checkpoint, or all of them are damaged.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from torch import nn
        >>> from afina import Trainer
        >>> x, run = torch.ones(8, 2), tempfile.mkdtemp()
        >>> trainer = Trainer(nn.Linear(2, 1), loss=nn.MSELoss(), max_steps=3, run_dir=run)
        >>> _ = trainer.fit((x, x[:, :1]))
        >>> torch.equal(load_weights(run)["weight"], trainer.model.weight)
        True
    """
    folder = Path(run) / "checkpoints"
    paths = list_checkpoints(folder)
    if not paths:
        raise CheckpointError(
            f"{folder} must hold the checkpoints of a run",
            but="there are none",
            fix="Pass the run_dir of a Trainer that has saved a checkpoint.",
        )
    steps = {checkpoint_step(path): path for path in paths}
    if which in ("best", "last"):
        trees = _newest(folder).trees
        weights = trees["model"]
        if which == "best":
            weights = trees.get("best") or {**weights, **trees.get("average", {})}
    elif isinstance(which, int) and not isinstance(which, bool) and which in steps:
        weights = read_checkpoint(steps[which]).trees["model"]
    else:
        shown = ", ".join(map(str, sorted(steps)))
        raise ConfigError(
            f'which must be "best", "last" or the step of a checkpoint ({shown})',
            got=f"{which!r}",
            fix="CheckpointPlan(keep_last=..., keep_best=...) decides which checkpoints are kept.",
        )
    return {name: value for name, value in weights.items() if not name.startswith(LOSS)}


def _newest(folder: Path) -> Snapshot:
    snapshot, passed_over = read_newest(folder)
    if snapshot is None:
        raise CheckpointError(
            f"{folder} must hold an undamaged checkpoint",
            but="; ".join(passed_over),
            fix="Copy the folder again from an undamaged original.",
        )
    for line in passed_over:
        warnings.warn(line, AfinaWarning, stacklevel=3)
    return snapshot
