"""Time a checkpoint of 10 million float32 parameters with AdamW state, and compare with torch.save.

Every contender saves the same state: an MLP of 10.0 million parameters and AdamW's moments, 120 MB.
    Each saves once per round. The script prints the median over rounds, and the median over rounds
    of the ratio to `torch.save` and fsync in the same round.

*durable* is the time from the call until the bytes have reached the disk under their name; *pause*
is how long the caller waits. Then a training loop of a fixed number of steps runs without a save,
with afina's save, and with `torch.save`. The extra time, in steps, is what a save costs the loop.

    python bench/checkpoint.py [--rounds 9] [--folder DIR] [--json FILE]
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from afina.train.run.checkpoint import CheckpointPlan, Keeper
from afina.train.state import TrainState
from afina.train.stopping import Stopping

WIDTHS = (784, 2048, 2048, 2048, 10)
BATCH, N_STEPS = 64, 24

Row = dict[str, float]


class Run:
    """A network in training, to be saved."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        for d_in, d_out in pairwise(WIDTHS):
            layers += [nn.Linear(d_in, d_out), nn.ReLU()]
        self.model = nn.Sequential(*layers[:-1])
        self.optimizer = torch.optim.AdamW(self.model.parameters(), fused=True)
        self.x = torch.randn(BATCH, WIDTHS[0])
        self.y = torch.randint(0, WIDTHS[-1], (BATCH,))
        self.step()

    def step(self) -> None:
        """Perform one step."""
        F.cross_entropy(self.model(self.x), self.y).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def trees(self) -> dict[str, Any]:
        """Return the contents of a checkpoint."""
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}


class Afina:
    """Save as `afina.Trainer` does."""

    def __init__(self, run: Run, folder: Path) -> None:
        self.run, self.folder = run, folder
        self.keeper = Keeper(folder, CheckpointPlan(keep_last=1), higher_is_better=False)

    def save(self, number: int) -> None:
        """Return as soon as training can continue."""
        state = TrainState(Stopping(False, None, 0.0), step=number)
        extra = {"position": None, "metrics_bytes": 0, "conditions": {}, "settings": {}}
        self.keeper.save(state, self.run.trees(), extra, None)

    def wait(self) -> None:
        """Return when the checkpoint is durable."""
        self.keeper.wait()


class Torch:
    """Save with `torch.save` under the final name."""

    def __init__(self, run: Run, folder: Path, *, sync: bool) -> None:
        self.run, self.folder, self.sync = run, folder, sync
        folder.mkdir()

    def save(self, number: int) -> None:
        """Return when the file is written."""
        with (self.folder / f"{number}.pt").open("wb") as file:
            torch.save(self.run.trees(), file)
            if self.sync:
                file.flush()
                os.fsync(file.fileno())
        (self.folder / f"{number - 1}.pt").unlink(missing_ok=True)

    def wait(self) -> None:
        """Do nothing: `save` has waited already."""


Contenders = dict[str, Afina | Torch]
BASE = "torch.save + fsync"


def time_saves(contenders: Contenders, n_rounds: int) -> dict[str, list[Row]]:
    """Let every contender save once per round; the first round warms up and is reported separately."""
    times: dict[str, list[Row]] = {name: [] for name in contenders}
    for number in range(n_rounds + 1):
        for name, contender in contenders.items():
            start = time.perf_counter()
            contender.save(number)
            paused = time.perf_counter()
            contender.wait()
            durable = time.perf_counter()
            times[name].append({"pause_s": paused - start, "durable_s": durable - start})
    return times


def time_loops(run: Run, contenders: Contenders, n_rounds: int) -> dict[str, list[float]]:
    """Time a loop with a save after a quarter of its steps, or without one; return seconds per loop."""
    times: dict[str, list[float]] = {"no save": [], **{name: [] for name in contenders}}
    for number in range(100, 101 + n_rounds):
        for name, seconds in times.items():
            start = time.perf_counter()
            for step in range(N_STEPS):
                run.step()
                if step == N_STEPS // 4 and name in contenders:
                    contenders[name].save(number)
            elapsed = time.perf_counter() - start
            if name in contenders:
                contenders[name].wait()
            if number > 100:
                seconds.append(elapsed)
    return times


def sha256_seconds(run: Run, n_rounds: int) -> float:
    """Return the seconds it takes to hash as many bytes as a checkpoint has."""
    data = bytes(12 * sum(p.numel() for p in run.model.parameters()))
    seconds = []
    for _ in range(n_rounds):
        start = time.perf_counter()
        hashlib.sha256(data).hexdigest()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def report(saves: dict[str, list[Row]], loops: dict[str, list[float]], sha_s: float) -> list[Any]:
    """Print a table and return its rows."""
    step_s = statistics.median(loops["no save"]) / N_STEPS
    rows: list[Any] = []
    for name, times in saves.items():
        row: dict[str, Any] = {"contender": name}
        for what in ("pause_s", "durable_s"):
            values = [t[what] for t in times[1:]]
            base = [t["durable_s"] for t in saves[BASE][1:]]
            row[what] = statistics.median(values)
            row[f"{what}_max"] = max(values)
            row[f"{what}_first"] = times[0][what]
            row[f"{what}_ratio"] = statistics.median(
                a / b for a, b in zip(values, base, strict=True)
            )
        lost = [(a - b) / step_s for a, b in zip(loops[name], loops["no save"], strict=True)]
        row["lost_steps"] = statistics.median(lost)
        rows.append(row)
    print(f"{'contender':<20} {'pause':>8} {'(first, max)':>17} {'durable':>8} {'(max)':>8} "
          f"{'ratio':>6} {'lost steps':>10}")  # fmt: skip
    for row in rows:
        print(
            f"{row['contender']:<20} {row['pause_s']:>8.3f} "
            f"({row['pause_s_first']:.3f}, {row['pause_s_max']:.3f})".ljust(47)
            + f"{row['durable_s']:>8.3f} ({row['durable_s_max']:>.3f}) "
            f"{row['durable_s_ratio']:>6.2f} {row['lost_steps']:>10.1f}"
        )
    print(f"a step takes {step_s * 1e3:.0f} ms; sha256 of 120 MB {sha_s:.3f} s")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--folder", type=Path, help="where to write; by default, the temporary folder"
    )
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    run = Run()
    n_params = sum(p.numel() for p in run.model.parameters())
    folder = Path(tempfile.mkdtemp(dir=args.folder))
    try:
        contenders: Contenders = {
            BASE: Torch(run, folder / "synced", sync=True),
            "torch.save alone": Torch(run, folder / "plain", sync=False),
            "afina": Afina(run, folder / "afina"),
        }
        print(f"torch {torch.__version__}, 1 thread, {platform.machine()}, {n_params:,} parameters, "
              f"{args.rounds} rounds")  # fmt: skip
        saves = time_saves(contenders, args.rounds)
        loops = time_loops(run, contenders, args.rounds)
        sha_s = sha256_seconds(run, args.rounds)
    finally:
        shutil.rmtree(folder)
    rows = report(saves, loops, sha_s)
    if args.json:
        args.json.write_text(
            json.dumps({"rows": rows, "sha256_s": sha_s, "torch": torch.__version__}, indent=1)
        )


if __name__ == "__main__":
    main()
