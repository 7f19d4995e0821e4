"""Time `afina.Trainer`, a hand-written loop and other trainers, as ratios in one run.

The work is the same for all: 20,000 float32 rows of 20 columns in memory, two classes, an MLP
20-64-64-2 with ReLU and the same initial weights, cross entropy, fused AdamW (lr 1e-3, no decay),
batch size 256, a new random order every epoch, the partial last batch included, one thread, no
validation. Every contender runs for some epochs per round. Its figure is the time of the whole call
divided by the number of epochs (so set-up counts); the script prints the median over rounds of the
ratio to the hand-written loop of the same round.

The contenders that compile run one more epoch, in which they compile. It is not part of their time
per epoch; its extra time is printed as compile seconds, first with an empty compiler cache (imports
included), then once more in the same process, with the number of steps after which compiling pays
off.

    pip install '.[bench]'
    python bench/loop.py [--rounds 9] [--epochs 10] [--only NAME ...] [--cpu-time] [--json FILE]

`--cpu-time` measures the process's CPU time instead of wall-clock time: on a busy machine, the
ratios vary less that way.
"""

import argparse
import copy
import json
import logging
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

N_ROWS, N_FEATURES, BATCH, LR = 20_000, 20, 256, 1e-3
N_STEPS = -(-N_ROWS // BATCH)

Clocks = tuple[float, float]
Contender = Callable[[nn.Module, Tensor, Tensor, int], Clocks | None]
"""`(model, x, y, epochs) -> now() at the end of an extra first epoch`, or None without one."""


def now() -> Clocks:
    """Return wall-clock and CPU time of this process, without the compilers it starts."""
    return time.perf_counter(), time.process_time()


def make_data() -> tuple[Tensor, Tensor]:
    """Make rows whose class is a noisy function of the features."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(N_ROWS, N_FEATURES, generator=generator)
    noise = torch.randn(N_ROWS, generator=generator)
    return x, ((x[:, :5].sum(1) + x[:, 0] * x[:, 1] + noise) > 0).long()


def make_model() -> nn.Module:
    """Make the network with the same weights every time."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(N_FEATURES, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2)
    )


def make_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=0.0, fused=True)


def hand_written(model: nn.Module, x: Tensor, y: Tensor, epochs: int) -> None:
    """The shortest loop that does the work."""
    optimizer = make_optimizer(model)
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for first in range(0, len(x), BATCH):
            rows = order[first : first + BATCH]
            loss = F.cross_entropy(model(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()


def afina_trainer(model: nn.Module, x: Tensor, y: Tensor, epochs: int) -> None:
    import afina

    afina.Trainer(
        model,
        loss=nn.CrossEntropyLoss(),
        optimizer=make_optimizer,
        batch_size=BATCH,
        max_epochs=epochs,
    ).fit((x, y))


def afina_compiled(model: nn.Module, x: Tensor, y: Tensor, epochs: int) -> Clocks:
    import afina

    ends: list[Clocks] = []

    def watch(event: afina.train.Event) -> None:
        if isinstance(event, afina.train.EpochEvent):
            ends.append(now())

    afina.Trainer(
        model,
        loss=nn.CrossEntropyLoss(),
        optimizer=make_optimizer,
        compile=True,
        batch_size=BATCH,
        max_epochs=epochs + 1,
        observers=[watch],
    ).fit((x, y))
    return ends[0]


def hand_compiled(model: nn.Module, x: Tensor, y: Tensor, epochs: int) -> Clocks:
    """The hand-written loop around `torch.compile(model)`, as its documentation shows it."""
    torch.compiler.reset()
    compiled = torch.compile(model)
    hand_written(compiled, x, y, 1)
    end = now()
    hand_written(compiled, x, y, epochs)
    return end


def data_loader(model: nn.Module, x: Tensor, y: Tensor, epochs: int) -> None:
    """The loop of torch's tutorials."""
    from torch.utils.data import DataLoader, TensorDataset

    loader = DataLoader(TensorDataset(x, y), batch_size=BATCH, shuffle=True)
    optimizer = make_optimizer(model)
    for _ in range(epochs):
        for xb, yb in loader:
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()


def lightning(model: nn.Module, x: Tensor, y: Tensor, epochs: int) -> None:
    import lightning as L
    from torch.utils.data import DataLoader, TensorDataset

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = model

        def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
            return F.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return make_optimizer(self.net)

    L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(Module(), DataLoader(TensorDataset(x, y), batch_size=BATCH, shuffle=True))


def skorch(model: nn.Module, x: Tensor, y: Tensor, epochs: int) -> None:
    from skorch import NeuralNetClassifier

    NeuralNetClassifier(
        model,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=0.0,
        optimizer__fused=True,
        lr=LR,
        max_epochs=epochs,
        batch_size=BATCH,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    ).fit(x, y)


CONTENDERS: dict[str, Contender] = {
    "hand-written": hand_written,
    "afina.Trainer": afina_trainer,
    "afina, compile": afina_compiled,
    "hand, compile": hand_compiled,
    "DataLoader loop": data_loader,
    "Lightning": lightning,
    "skorch": skorch,
}


def race(
    chosen: dict[str, Contender], rounds: int, epochs: int, *, cpu_time: bool
) -> list[dict[str, object]]:
    """Run the contenders in alternation and return their figures, the hand-written loop first."""
    x, y = make_data()
    model = make_model()
    seconds: dict[str, list[float]] = {name: [] for name in chosen}
    compiling: dict[str, list[float]] = {name: [] for name in chosen}
    losses: dict[str, float] = {}
    for round_number in range(rounds + 1):  # the first round only warms up
        for name, run in chosen.items():
            trained = copy.deepcopy(model)
            start = now()
            first_end = run(trained, x, y, epochs)
            end = now()
            elapsed = [(b - a) / epochs for a, b in zip(first_end or start, end, strict=True)]
            if first_end is not None:
                compiling[name].append(first_end[0] - start[0] - elapsed[0])
            if round_number:
                seconds[name].append(elapsed[cpu_time])
            with torch.no_grad():
                losses[name] = F.cross_entropy(trained(x), y).item()
    base = seconds["hand-written"]
    rows: list[dict[str, object]] = []
    for name, times in seconds.items():
        ratios = [t / b for t, b in zip(times, base, strict=True)]
        saved = (statistics.median(base) - statistics.median(times)) / N_STEPS
        row: dict[str, object] = {
            "contender": name,
            "ratio_median": statistics.median(ratios),
            "ratio_min": min(ratios),
            "ratio_max": max(ratios),
            "us_per_step_median": statistics.median(times) / N_STEPS * 1e6,
            "us_per_step_min": min(times) / N_STEPS * 1e6,
            "final_loss": losses[name],
        }
        if compiling[name]:
            again = statistics.median(compiling[name][1:])
            row |= {"compile_seconds_first": compiling[name][0], "compile_seconds_again": again}
            row["steps_to_break_even"] = round(compiling[name][0] / saved) if saved > 0 else None
        rows.append(row)
    return rows


def show(rows: list[dict[str, object]]) -> None:
    print(f"{'contender':<16} {'ratio':>7} {'(min - max)':>15} {'us/step':>9} {'loss':>8}")
    for row in rows:
        span = f"({row['ratio_min']:.2f} - {row['ratio_max']:.2f})"
        print(
            f"{row['contender']:<16} {row['ratio_median']:>7.2f} {span:>15} "
            f"{row['us_per_step_median']:>9.0f} {row['final_loss']:>8.4f}"
        )
    for row in rows:
        if "compile_seconds_first" in row:
            steps = row["steps_to_break_even"]
            earned = "never" if steps is None else f"after {steps:,} steps"
            print(
                f"{row['contender']}: compile {row['compile_seconds_first']:.1f} s at first, "
                f"{row['compile_seconds_again']:.2f} s again; pays off {earned}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--only", nargs="*", help="contenders besides the hand-written loop")
    parser.add_argument("--cpu-time", action="store_true", help="measure CPU time")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for name in ("lightning", "lightning.pytorch", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    chosen = {
        name: run
        for name, run in CONTENDERS.items()
        if not args.only or name in ("hand-written", *args.only)
    }
    with tempfile.TemporaryDirectory() as empty:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = empty
        rows = race(chosen, args.rounds, args.epochs, cpu_time=args.cpu_time)
    kind = "CPU time" if args.cpu_time else "time"
    print(f"torch {torch.__version__}, 1 thread, {platform.machine()}, {kind}, {args.rounds} rounds "
          f"of {args.epochs} epochs of {N_STEPS} steps")  # fmt: skip
    show(rows)
    if args.json:
        args.json.write_text(json.dumps({"rows": rows, "torch": torch.__version__}, indent=1))


if __name__ == "__main__":
    main()
