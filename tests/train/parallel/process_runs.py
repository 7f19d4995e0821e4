"""Runs of the trainer that are the same on any number of processes; started by torchrun, or alone.

`process_runs.py table FOLDER` trains once with each of TABLE's settings, and writes the weights and
what validation said to FOLDER/<rank>.json. `process_runs.py run FOLDER LAST SIGNAL` trains in the run
folder FOLDER, going on where it was, and writes the weights beside it; after step LAST the last
process gets SIGNAL, a number (0: none).
"""

import functools
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from afina.errors import Interrupted, PeerError
from afina.train import CheckpointPlan, Result, Trainer

RANK = int(os.environ.get("RANK", "0"))
N = int(os.environ.get("WORLD_SIZE", "1"))


def make_rows() -> tuple[Tensor, Tensor, Tensor]:
    """Rows of two classes with uneven weights, sorted by target so that shares differ."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(203, 6, generator=generator)
    y = (x[:, 0] * x[:, 1] > 0).long()
    weights = torch.rand(203, generator=generator) ** 3 * 10
    order = y.argsort(stable=True)
    return x[order], y[order], weights[order]


def make_model(dropout: float = 0.0, *, norm: bool = False) -> nn.Module:
    torch.manual_seed(0)
    middle = nn.BatchNorm1d(24) if norm else nn.Tanh()
    return nn.Sequential(nn.Linear(6, 24), middle, nn.Dropout(dropout), nn.Linear(24, 2))


def with_ignored(y: Tensor) -> Tensor:
    """Let most rows of some windows have no target, like the tokens of a padded sequence."""
    return torch.where(torch.arange(len(y)) % 7 < 4, -100, y)


def first_epochs(**settings: Any) -> tuple[nn.Module, Result]:
    """Train for three epochs; every setting of its own comes from TABLE."""
    x, y, w = make_rows()
    train: Any = (x[:150], y[:150], w[:150])
    if settings.pop("ignored", False):
        train = (x[:150], with_ignored(y[:150]), w[:150])
    if settings.pop("stream", False):
        sizes = [13, 19, 5, 27, 32, 1, 31, 22]
        train = list(zip(*(t.split(sizes) for t in (x[:150], y[:150])), strict=True))
    model = make_model(settings.pop("dropout", 0.0), norm=settings.pop("norm", False))
    trainer = Trainer(
        model,
        loss=nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0]), ignore_index=-100),
        lr=0.01,
        max_epochs=3,
        seed=1,
        **{"batch_size": 32, **settings},
    )
    return model, trainer.fit(train, val=(x[150:], y[150:]))


TABLE: dict[str, dict[str, Any]] = {
    "weights": {"max_grad_norm": 0.5, "schedule": "cosine", "weight_decay": 0.1},
    "microbatches": {"microbatch_size": 3, "l2": 0.01},
    "auto": {"microbatch_size": "auto"},
    "ignored": {"ignored": True},
    "few rows last": {"batch_size": 37},  # the last window has two
    "stream": {"stream": True},
    "average": {"averaging": "ema", "ema_decay": 0.9},
    "bf16": {"precision": "bf16"},
    "fp16": {"precision": "fp16"},
    "sharded": {"sharding": "fsdp2", "max_grad_norm": 0.5, "l2": 0.01, "batch_size": 37},
    "sharded microbatches": {"sharding": "fsdp2", "microbatch_size": 3, "ignored": True},
    "dropout": {"dropout": 0.3},
    "norm": {"norm": True, "microbatch_size": 4, "batch_size": 37},
    # Not AdamW: the bias before the norm has a gradient of rounding errors alone.
    "window norm": {
        "norm": True,
        "microbatch_size": 5,
        "batchnorm": "window",
        "optimizer": "sgd",
    },
}


def table(folder: Path) -> None:
    """Train once with each of TABLE's settings."""
    found = {}
    for name, settings in TABLE.items():
        settings = dict(settings)  # noqa: PLW2901 - settings are taken out of it
        if N == 1:
            settings.pop("sharding", None)
        model, result = first_epochs(**settings)
        state = {k: v.tolist() for k, v in model.state_dict().items()}
        found[name] = {"state": state, "history": [e._asdict() for e in result.history]}
    (folder / f"{RANK}.json").write_text(json.dumps(found))


def signalled(step: int, *, last: int, signum: int) -> float:
    """Return the learning rate's factor, and the last process a signal at a step: no observer does."""
    if step == last and RANK == N - 1 and signum:
        os.kill(os.getpid(), signum)
    return 1.0


def run(folder: Path, last: int, signum: int) -> None:
    """Train in a run folder, from its last checkpoint on."""
    x, y, w = make_rows()
    model = make_model(0.1, norm=True)
    trainer = Trainer(
        model,
        loss=nn.CrossEntropyLoss(),
        lr=0.01,
        schedule=functools.partial(signalled, last=last, signum=signum),
        batch_size=16,
        max_epochs=6,
        run_dir=folder,
        checkpoints=CheckpointPlan(every_steps=7),
        observers=[lambda event: print(RANK, event)],  # one process alone tells
    )
    result = trainer.fit((x[:150], y[:150], w[:150]), val=(x[150:], y[150:]), resume=True)
    state = {k: v.tolist() for k, v in model.state_dict().items()}
    threads = len(list(Path("/proc/self/task").iterdir()))
    for _ in range(1000):  # a thread that has ended stays in the list until the kernel comes by
        if threads > 1:
            time.sleep(0.01)
            threads = len(list(Path("/proc/self/task").iterdir()))
    found = {"state": state, "stop": result.stop._asdict(), "threads": threads}
    folder.with_name(f"{folder.name}-{N}-{RANK}.json").write_text(json.dumps(found))


def main(mode: str, folder: str, *numbers: str) -> int:
    torch.set_num_threads(1)
    modes: dict[str, Callable[..., None]] = {"table": table, "run": run}
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun's, to those that are left
    try:
        modes[mode](Path(folder), *map(int, numbers))
    except (Interrupted, PeerError) as error:
        print(f"{RANK}: {type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    status = main(*sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    if sys.argv[1] == "table":
        os._exit(status)  # DTensor's caches keep gloo's threads, which may abort at Python's end
    sys.exit(status)
