"""A process that forks training runs, kills them, resumes them, and says what they came to.

Run by `test_resume.py` (few kills) and `bench/kills.py` (many): torch is imported once, and every
run is a forked child, so that a kill costs milliseconds. `python crash_runs.py FOLDER MODE COUNT
SEED` prints one JSON line a finished run: how often it was killed, and its sha256.

Modes: `step` (SIGKILL after a random optimizer step), `random` (SIGKILL after a random time), `syscall` (SIGKILL before or after the n-th file
operation of the run, for every n from 1 to COUNT), `term` (SIGTERM
after a random time).
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
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from afina.errors import Interrupted
from afina.train import CheckpointPlan, StepEvent, Trainer

FAULT = os.environ.get("AFINA_TEST_FAULT", "")


def train(run: Path, last_step: int | None = None) -> None:
    """Train a small net with everything in it that a resume could lose, and write its sha256."""

    def die(event: object) -> None:
        if isinstance(event, StepEvent) and event.step == last_step:
            os.kill(os.getpid(), signal.SIGKILL)

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(203, 6, generator=generator)
    y = ((x[:, 0] * x[:, 1] + 0.5 * torch.randn(203, generator=generator)) > 0).long()
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(6, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Dropout(0.2), nn.Linear(24, 2)
    )
    if FAULT == "optimizer":
        torch.optim.AdamW.load_state_dict = lambda *_: None
    if FAULT == "order":
        from afina.train.batches import TensorData

        TensorData.order = lambda self, epoch: torch.randperm(self.n_rows)
    trainer = Trainer(
        model,
        loss=nn.CrossEntropyLoss(),
        lr=0.01,
        weight_decay=0.01,
        max_grad_norm=0.5,
        schedule="cosine",
        batch_size=16,
        microbatch_size=6,
        max_epochs=12,
        patience=5,
        run_dir=run,
        observers=[die],
        checkpoints=CheckpointPlan(every_steps=4, every_minutes=None, keep_last=2, keep_best=1),
    )
    trainer.fit((x[:160], y[:160]), (x[160:], y[160:]), resume=True)
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


def child(run: Path, n: int | None = None, last_step: int | None = None) -> int:
    """Fork a child that trains in `run` and may kill itself; give its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        if n is not None:
            kill_at(n)
        train(run, last_step)
        os._exit(0)
    except Interrupted as stopped:
        os._exit(stopped.exit_code)
    except Exception:  # noqa: BLE001 - a forked child must not return into the parent's code
        traceback.print_exc()
        os._exit(1)


def finish(run: Path) -> str:
    """Run undisturbed to the end; give the sha256."""
    _, status = os.waitpid(child(run), 0)
    if status:
        raise SystemExit(f"the run failed with status {status}")
    return (run / "final.txt").read_text()


def strike(run: Path, signum: int, longest_s: float, rng: random.Random) -> bool:
    """Send a signal after a random time; say whether it struck before the end."""
    pid = child(run)
    time.sleep(rng.uniform(0, longest_s))
    os.kill(pid, signum)
    _, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) not in (0, 128 + signum):
        raise SystemExit(f"the run failed with status {os.WEXITSTATUS(status)}")
    return status != 0


def main(folder: Path, mode: str, count: int, seed: int) -> None:
    rng = random.Random(seed)
    run = folder / "run"
    train(folder / "warm")  # what torch imports late is then there in every child
    start = time.monotonic()
    print(json.dumps({"kills": 0, "sha256": finish(folder / "whole")}), flush=True)
    longest_s = 1.1 * (time.monotonic() - start)
    if mode == "syscall":
        for n in range(1, count + 1):
            shutil.rmtree(run, ignore_errors=True)
            _, status = os.waitpid(child(run, n), 0)
            print(
                json.dumps({"n": n, "kills": int(status != 0), "sha256": finish(run)}), flush=True
            )
        return
    if mode == "step":
        for _ in range(count):
            shutil.rmtree(run, ignore_errors=True)
            last_step = rng.randrange(5, 60)
            _, status = os.waitpid(child(run, last_step=last_step), 0)
            record = {"kills": int(status != 0), "steps": [last_step], "sha256": finish(run)}
            print(json.dumps(record), flush=True)
        return
    signum = signal.SIGTERM if mode == "term" else signal.SIGKILL
    while count > 0:
        shutil.rmtree(run, ignore_errors=True)
        steps = []
        while len(steps) < min(count, 8) and strike(run, signum, longest_s / 2, rng):
            steps.append(max((p.name for p in run.glob("checkpoints/step-*")), default=None))
        count -= max(len(steps), 1)
        record = {"kills": len(steps), "steps": steps, "sha256": finish(run)}
        print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
