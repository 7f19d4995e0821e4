"""A process that forks training runs, kills them, resumes them, and says what they came to.

Run by `test_resume.py` (hundreds of kills) and `bench/kills.py` (thousands): torch is imported once,
and every run is a forked child, so that a kill costs milliseconds. `python crash_runs.py FOLDER
VARIANT MODE COUNT SEED` prints one JSON line a finished run: how often it was killed, and its sha256.

Modes: `random` and `term` (SIGKILL or SIGTERM after random times, up to eight in a run, COUNT times and
on until a sixth of COUNT found a checkpoint to go on from, however fast the machine is), `step`
(SIGKILL after a random optimizer step), `eval` (SIGKILL while the validation rows are evaluated),
`syscall` (SIGKILL before or after the n-th file operation of the run, for every n up to COUNT).
"""

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from afina.errors import Interrupted
from afina.optim.shampoo import OneSidedShampoo
from afina.train import CheckpointPlan, StepEvent, Trainer, gradient
from afina.train.batches import TensorData
from afina.train.run.metrics_log import MetricsLog
from afina.train.state import TrainState

FAULT = os.environ.get("AFINA_TEST_FAULT", "")
MOST_ROWS = 6

VARIANTS: dict[str, dict] = {
    "plain": {},
    "overfit": {"lr": 0.03, "schedule": "constant", "patience": 4},
    "ema": {"averaging": "ema", "ema_decay": 0.9, "averaging_start": 2},
    "swa": {"averaging": "swa", "averaging_start": 2},
    "bf16": {"precision": "bf16"},
    "fp16": {"precision": "fp16"},
    "auto": {"microbatch_size": "auto"},
    "window": {"batchnorm": "window"},
    "recompute": {"activation_checkpointing": True},
    "compile": {"compile": True, "max_epochs": 4},
    "workers": {"max_epochs": 4},
    "stateful": {},
    "shampoo": {"optimizer": "shampoo"},
}
"""What a run has besides: each must be resumed as exactly as the plain one."""


LAST_STEPS = {"overfit": (70, 95), "swa": (40, 60), "compile": (5, 36), "workers": (5, 36)}
"""Where `step` kills: while patience is running out, after the average began, before the end."""


class Fits(nn.Module):
    """Lets so many rows through while it trains, and fails above like an allocator."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return x


class Noisy(Dataset):
    """A map-style data set whose items draw random numbers, as augmentation does."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.x[index] + 0.1 * torch.randn(6), self.y[index]


class Stateful:
    """An iterable that knows its place and has an order of its own, as a stream has."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y
        self.epoch = self.at = 0

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(
            len(self.x), generator=torch.Generator().manual_seed(7 + self.epoch)
        ).split(16)
        while self.at < len(order):
            rows = order[self.at]
            self.at += 1
            yield self.x[rows], self.y[rows]
        self.epoch, self.at = self.epoch + 1, 0

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "at": self.at}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.at = state["epoch"], state["at"]


FORGOTTEN: dict[str, Callable[[TrainState], None]] = {
    "average": lambda state: setattr(state.average, "n_updates", 0),
    "scale": lambda state: setattr(state, "loss_scale", 4.0),
    "size": lambda state: setattr(state, "microbatch_size", 3),
    "patience": lambda state: setattr(state.stopping, "n_without", -3),
    "best": lambda state: setattr(state.stopping, "best", None),
    "loss": lambda state: setattr(state, "epoch_loss", 0.0),
}


def break_resume(fault: str) -> None:
    """Make this process forget something at resume, as trainers have been found to."""
    restore = TrainState.restore

    def forgetful(state: TrainState, d: dict, trees: dict) -> None:
        restore(state, d, trees)
        forgotten = FORGOTTEN.get(fault)
        if forgotten is not None:
            forgotten(state)

    TrainState.restore = forgetful
    if fault == "optimizer":
        for kind in (torch.optim.Optimizer, OneSidedShampoo):  # which has its own reference to it
            kind.load_state_dict = lambda *_: None
    if fault == "order":
        TensorData.order = lambda self, epoch: torch.randperm(self.n_rows)
    if fault == "position":
        Stateful.load_state_dict = lambda *_: None
    if fault == "random":
        gradient.reseed_torch = lambda *_: None
    if fault == "metrics":
        journal_size = MetricsLog.__init__
        MetricsLog.__init__ = lambda self, path, *, every, size: journal_size(
            self, path, every=every, size=0
        )


def train(
    run: Path, variant: str = "plain", last_step: int | None = None, last_eval: int | None = None
) -> None:
    """Train a small net with everything in it that a resume could lose, and write its sha256."""
    n_evals = 0

    def die(event: object) -> None:
        if isinstance(event, StepEvent) and event.step == last_step:
            os.kill(os.getpid(), signal.SIGKILL)

    def scores(*_: object) -> dict[str, float]:
        nonlocal n_evals
        n_evals += 1
        if n_evals == last_eval:
            os.kill(os.getpid(), signal.SIGKILL)
        return {}

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if FAULT:
        break_resume(FAULT)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(203, 6, generator=generator)
    y = ((x[:, 0] * x[:, 1] + 0.5 * torch.randn(203, generator=generator)) > 0).long()
    d = 36 if variant == "shampoo" else 24  # it preconditions no smaller matrix
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Sequential(nn.Linear(6, d), nn.BatchNorm1d(d), nn.ReLU(), nn.Dropout(0.2)),
        nn.Sequential(nn.Linear(d, d), nn.BatchNorm1d(d), nn.ReLU(), nn.Dropout(0.2)),
        Fits(MOST_ROWS if variant == "auto" else 10**6),
        nn.Linear(d, 2),
    )
    if variant == "overfit":  # nothing to learn: the best is early, and patience runs out
        y = y[torch.randperm(203, generator=generator)]
    data: object = (x[:160], y[:160])
    if variant == "workers":
        data = DataLoader(Noisy(x[:160], y[:160]), 16, shuffle=True, num_workers=2)
    if variant == "stateful":
        data = Stateful(x[:160], y[:160])
    arguments = {
        "lr": 0.01,
        "weight_decay": 0.01,
        "max_grad_norm": 0.5,
        "schedule": "cosine",
        "batch_size": None if variant in ("workers", "stateful") else 16,
        "microbatch_size": 6,
        "max_epochs": 12,
        "max_steps": 120,
        "patience": 5,
        "checkpoints": CheckpointPlan(every_steps=4, every_minutes=None, keep_last=2, keep_best=1),
    }
    trainer = Trainer(
        model,
        loss=nn.CrossEntropyLoss(),
        run_dir=run,
        observers=[die],
        scores=scores,
        **arguments | VARIANTS[variant],
    )
    trainer.fit(data, (x[160:], y[160:]), resume=True)
    digest = hashlib.sha256((run / "metrics.jsonl").read_bytes())
    for name, value in model.state_dict().items():
        digest.update(name.encode() + value.numpy().tobytes())
    (run / "final.txt").write_text(digest.hexdigest())


def kill_at(n: int) -> None:
    """Replace the file operations of this process: the n-th one is its end.

    Odd n: right before the operation; even n: right after it, and a write is cut in half.
    """
    count = 0

    def deadly(operation: Callable) -> Callable:
        def call(*args, **kwargs):
            nonlocal count
            count += 1
            if 2 * count - 1 == n:
                os.kill(os.getpid(), signal.SIGKILL)
            if 2 * count == n and operation is os_write:
                operation(args[0], bytes(args[1])[: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            result = operation(*args, **kwargs)
            if 2 * count == n:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    os_write = os.write
    for name in ("open", "write", "fsync", "rename", "replace", "unlink", "rmdir", "mkdir"):
        setattr(os, name, deadly(getattr(os, name)))


def child(run: Path, variant: str, n: int | None = None, **ends: int) -> int:
    """Fork a child that trains in `run` and may kill itself; give its process id, its group's too."""
    pid = os.fork()
    if pid:
        return pid
    os.setpgid(0, 0)
    try:
        if n is not None:
            kill_at(n)
        train(run, variant, **ends)
        os._exit(0)
    except Interrupted as stopped:
        os._exit(stopped.exit_code)
    except Exception:  # noqa: BLE001 - a forked child must not return into the parent's code
        traceback.print_exc()
        os._exit(1)


def finish(run: Path, variant: str) -> str:
    """Run undisturbed to the end; give the sha256."""
    _, status = os.waitpid(child(run, variant), 0)
    if status:
        raise SystemExit(f"the run failed with status {status}")
    return (run / "final.txt").read_text()


def end_group(pid: int) -> None:
    """Kill what a killed child left behind.

    A DataLoader's worker ends itself when its parent is gone, but not if that happened before it
    looked who its parent is: then it waits for ever, and keeps this process's output open.
    """
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def strike(
    run: Path, variant: str, signum: int, longest_s: float, rng: random.Random
) -> tuple[int, bool]:
    """Send a signal after a random time; give the process id, and whether it struck before the end."""
    pid = child(run, variant)
    time.sleep(rng.uniform(0, longest_s))
    os.kill(pid, signum)
    _, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) not in (0, 128 + signum):
        raise SystemExit(f"the run failed with status {os.WEXITSTATUS(status)}")
    return pid, status != 0


def main(folder: Path, variant: str, mode: str, count: int, seed: int) -> None:
    rng = random.Random(seed)
    run = folder / "run"
    train(folder / "warm", variant)  # what torch imports late is then there in every child
    start = time.monotonic()
    tell(kills=0, sha256=finish(folder / "whole", variant))
    longest_s = 1.1 * (time.monotonic() - start)
    n_to_find = count // 6 if mode in ("random", "term") else 0
    while count > 0 or n_to_find > 0:
        shutil.rmtree(run, ignore_errors=True)
        if mode in ("random", "term"):
            signum = signal.SIGTERM if mode == "term" else signal.SIGKILL
            steps: list[str | None] = []
            struck = True
            left = []
            while struck and len(steps) < (min(count, 8) if count > 0 else 8):
                pid, struck = strike(run, variant, signum, longest_s / 2, rng)
                left.append(pid)
                if struck:
                    steps.append(
                        max((p.name for p in run.glob("checkpoints/step-*")), default=None)
                    )
            if not steps:  # it ended first: the machine got faster
                longest_s /= 2
            elif not any(steps):  # no checkpoint yet: it got slower
                longest_s *= 2
            count -= len(steps)
            n_to_find -= sum(step is not None for step in steps)
            tell(kills=len(steps), steps=steps, sha256=finish(run, variant))
            for pid in left:
                end_group(pid)
            continue
        ends: dict[str, int] = {
            "syscall": {"n": count},
            "step": {"last_step": rng.randrange(*LAST_STEPS.get(variant, (5, 60)))},
            "eval": {"last_eval": rng.randrange(2, 4)},
        }[mode]
        pid, status = os.waitpid(child(run, variant, **ends), 0)
        count -= 1
        tell(kills=int(status != 0), ends=ends, sha256=finish(run, variant))
        end_group(pid)


def tell(**record: object) -> None:
    print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
