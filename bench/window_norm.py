"""Measure memory and time of batch normalization over a window against the large batch.

Two networks in float32: an MLP of 8 residual blocks (batch normalization, ReLU, linear; width 512)
on 16,384 rows, and a ResNet of 8 basic blocks (32 channels) on 128 images of 32 x 32. One gradient
of the whole window is computed as one batch; in 8 micro-batches that are normalized separately (which
is a different gradient); and in 8 micro-batches with `batchnorm="window"`, by number of groups.

Memory: the largest resident set of a fresh process that computes two gradients, minus that of one that
does so for 16 rows as a large batch (model, data, gradient and torch's own memory). Linux only.

Time: the median over alternating rounds of the ratio to the large batch of the same round, in
wall-clock and in processor time, which other work on the machine disturbs less.

    python bench/window_norm.py [--rounds 7] [--threads 1]
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from afina.train.batches import Batch, cut_rows, split_batch
from afina.train.gradient import accumulate
from afina.train.loss import make_weighted_loss
from afina.train.window.norm import WindowNorm

N_PARTS = 8
CONTENDERS = ["large batch", "own statistics", *(f"window, {n} groups" for n in (4, 6, 8))]

Step = Callable[[], tuple[float, float]]


class MLPBlock(nn.Module):
    """A residual block of batch normalization, ReLU and a linear layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width)
        self.linear = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.linear(torch.relu(self.norm(x)))


class ConvBlock(nn.Module):
    """A residual block of two convolutions with batch normalization."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(x + self.norm2(self.conv2(y)))


def make_mlp() -> tuple[nn.Module, Batch]:
    """Make the MLP and its rows."""
    blocks = [MLPBlock(512) for _ in range(8)]
    model = nn.Sequential(nn.Linear(64, 512), *blocks, nn.BatchNorm1d(512), nn.Linear(512, 10))
    return model, Batch(torch.randn(16384, 64), torch.randint(0, 10, (16384,)))


def make_resnet() -> tuple[nn.Module, Batch]:
    """Make the ResNet and its images."""
    stem = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
    blocks = [ConvBlock(32) for _ in range(8)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)]
    images = torch.randn(128, 3, 32, 32)
    return nn.Sequential(stem, *blocks, *head), Batch(images, torch.randint(0, 10, (128,)))


NETWORKS = {"mlp": make_mlp, "resnet": make_resnet}


def make_step(contender: str, model: nn.Module, batch: Batch) -> Step:
    """Make the function that computes one gradient."""
    loss = make_weighted_loss(nn.CrossEntropyLoss())
    n_rows = len(batch.x)
    parts = split_batch(batch, n_rows // N_PARTS, n_rows)
    plain = accumulate(loss, model)

    def step() -> tuple[float, float]:
        model.zero_grad(set_to_none=True)
        if contender == "large batch":
            return plain([batch], 1.0)
        if contender == "own statistics":
            return plain(parts, 1.0)
        return window.sum_gradient(parts)

    if contender.startswith("window"):
        window = WindowNorm(model, loss, model, n_groups=int(contender.split()[1]))
    return step


def time_ratios(network: str, n_rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Run all contenders in alternation; return wall-clock and processor time as ratios."""
    torch.manual_seed(0)
    model, batch = NETWORKS[network]()
    steps = {name: make_step(name, model, batch) for name in CONTENDERS}
    ratios: dict[str, list[tuple[float, float]]] = {name: [] for name in CONTENDERS}
    for number in range(n_rounds + 1):
        seconds = {}
        for name, step in steps.items():
            start, start_cpu = time.perf_counter(), time.process_time()
            step()
            seconds[name] = (time.perf_counter() - start, time.process_time() - start_cpu)
        if number:  # the first round warms up
            wall, cpu = seconds["large batch"]
            for name in CONTENDERS:
                ratios[name].append((seconds[name][0] / wall, seconds[name][1] / cpu))
    return ratios


def peak_mib(network: str, contender: str, n_threads: int) -> float:
    """Return the largest resident set of a fresh process, in MiB."""
    command = [sys.executable, __file__, "--peak", network, contender, "--threads", str(n_threads)]
    # Freed memory returns to the system at once, so that the resident set is what is in use.
    env = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    return float(done.stdout)


def print_peak(network: str, contender: str) -> None:
    """Compute two gradients and print the largest resident set of this process, in MiB."""
    torch.manual_seed(0)
    model, batch = NETWORKS[network]()
    if contender == "few rows":
        contender, batch = "large batch", cut_rows(batch, 0, 2 * N_PARTS)
    step = make_step(contender, model, batch)
    step()
    step()
    # Not ru_maxrss, which a child process inherits from its parent.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    print(int(peak.split()[1]) / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--peak", nargs=2, metavar=("NETWORK", "CONTENDER"), help="internal: measure one process"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.peak:
        print_peak(*arguments.peak)
        return
    print(f"torch {torch.__version__}, {arguments.threads} threads, {N_PARTS} micro-batches\n")
    print(
        "| network | contender | memory, MiB | ratio | wall clock, ratio | range | processor, ratio |"
    )
    print("|---|---|---|---|---|---|---|")
    for network in NETWORKS:
        floor = peak_mib(network, "few rows", arguments.threads)
        memory = {c: peak_mib(network, c, arguments.threads) - floor for c in CONTENDERS}
        ratios = time_ratios(network, arguments.rounds)
        for name in CONTENDERS:
            share = memory[name] / memory["large batch"]
            clock, processor = zip(*ratios[name], strict=True)
            print(
                f"| {network} | {name} | {memory[name]:.0f} | {share:.2f} "
                f"| {statistics.median(clock):.2f} | {min(clock):.2f} - {max(clock):.2f} "
                f"| {statistics.median(processor):.2f} |"
            )


if __name__ == "__main__":
    main()
