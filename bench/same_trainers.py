"""Digests of twenty small runs of `afina.Trainer`, each with a different setting.

All are in float32, some with autocast to half precision, on the CPU, and take less than a second
each. Most write a run folder, whose metrics.jsonl records every step; one notifies observers instead,
and one does neither.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from digests import Parts, digest_array, digest_bytes, digest_json, digest_tensors, records
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import afina

N_ROWS, N_VAL, N_FEATURES, N_CLASSES = 331, 90, 8, 3

Pair = tuple[Tensor, Tensor]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def inputs(seed: int, n: int) -> Tensor:
    return torch.randn(n, N_FEATURES, generator=generator(seed))


def classes(seed: int = 0, n: int = N_ROWS) -> Pair:
    """Make rows of three classes that depend on two products of features, one in ten at random."""
    x = inputs(seed, n)
    y = (x[:, 0] * x[:, 1] > 0).long() + (x[:, 2] * x[:, 3] > 0.3).long()
    by_chance = torch.rand(n, generator=generator(seed + 1)) < 0.1
    return x, torch.where(by_chance, torch.randint(0, 3, (n,), generator=generator(seed + 2)), y)


def numbers(seed: int = 0, n: int = N_ROWS) -> Pair:
    """Make rows with a number to predict."""
    x = inputs(seed, n)
    noise = torch.randn(n, 1, generator=generator(seed + 1))
    return x, torch.sin(2.0 * x[:, :1]) + x[:, 1:2] * x[:, 2:3] + 0.1 * noise


def val_classes() -> Pair:
    return classes(seed=10, n=N_VAL)


def network(d_out: int = N_CLASSES, *, norm: bool = False, dropout: float = 0.1) -> nn.Sequential:
    """Make a network with two hidden layers and the same weights every time."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    d_in = N_FEATURES
    for _ in range(2):
        layers += [nn.Linear(d_in, 32), *([nn.BatchNorm1d(32)] if norm else [])]
        layers += [nn.ReLU(), nn.Dropout(dropout)]
        d_in = 32
    return nn.Sequential(*layers, nn.Linear(d_in, d_out))


def accuracy(outputs: Tensor, targets: Tensor, weights: Tensor | None) -> dict[str, float]:
    hits = (outputs.argmax(1) == targets).double()
    return {"accuracy": float(hits.mean() if weights is None else hits @ weights / weights.sum())}


def train_classes(model: nn.Module, folder: Path | None, **settings: Any) -> Parts:
    """Train on rows of three classes, validate on others, and digest."""
    return train(model, folder, classes(), val_classes(), **settings)


def train(
    model: nn.Module,
    folder: Path | None,
    data: Any,
    val: Any = None,
    *,
    resume: bool = False,
    **settings: Any,
) -> Parts:
    """Train and digest; the settings are those of `afina.Trainer`, 20 epochs of 32 rows per step."""
    usual: dict[str, Any] = {"loss": nn.CrossEntropyLoss(), "batch_size": 32, "max_epochs": 20}
    trainer = afina.Trainer(model, run_dir=folder, **usual | settings)
    result = trainer.fit(data, val, resume=resume)
    return digest_fit(trainer, result, val)


def digest_fit(trainer: afina.Trainer, result: Any, val: Any) -> Parts:
    """Digest the weights of a trainer, its records, and its predictions for new rows."""
    metrics = {
        "history": digest_json(records(result.history)),
        "stop": digest_json(records([result.stop])),
        "n_parameters": digest_json(result.n_parameters),
    }
    if val is not None:
        metrics["evaluate"] = digest_json(trainer.evaluate(val))
    if trainer.run_dir is not None:
        log = Path(trainer.run_dir) / "metrics.jsonl"
        metrics["metrics.jsonl"] = digest_bytes(log.read_bytes())
    return {
        "weights": digest_tensors(trainer.model.state_dict()),
        "metrics": metrics,
        "predictions": {"predict": digest_array(trainer.predict(inputs(20, 57)).numpy())},
    }


def adamw(folder: Path) -> Parts:
    """AdamW with weight decay, cosine with a warm-up, scores at every other epoch."""
    return train_classes(
        network(),
        folder,
        lr=3e-3,
        weight_decay=1e-2,
        beta2=0.98,
        schedule="cosine",
        warmup_steps=7,
        scores=accuracy,
        eval_every=2,
        log_every=3,
    )


def sgd(_: Path) -> Parts:
    """SGD with momentum and decoupled decay, one cycle, clipping; without validation rows."""
    return train(
        network(),
        None,
        classes(),
        optimizer="sgd",
        lr=0.1,
        momentum=0.8,
        weight_decay=1e-3,
        schedule="onecycle",
        max_grad_norm=0.5,
    )


def shampoo(folder: Path) -> Parts:
    """One-sided Shampoo, a constant rate with a warm-up."""
    return train_classes(
        network(),
        folder,
        optimizer="shampoo",
        lr=3e-3,
        weight_decay=1e-3,
        warmup_steps=10,
        seed=4,
    )


def muon(folder: Path) -> Parts:
    """One of torch's optimizers, a function as the schedule, and a limit on steps."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(N_FEATURES, 32, bias=False), nn.SiLU(), nn.Linear(32, N_CLASSES, bias=False)
    )
    return train_classes(
        model,
        folder,
        optimizer=lambda module: torch.optim.Muon(module.parameters(), lr=0.02),
        schedule=lambda step: 1.0 / (1.0 + 0.05 * step),
        max_steps=47,
    )


def microbatches(folder: Path) -> Parts:
    """Steps of 64 rows in uneven micro-batches, clipped; four waves of the learning rate."""
    return train_classes(
        network(),
        folder,
        lr=3e-3,
        batch_size=64,
        microbatch_size=24,
        max_grad_norm=1.0,
        schedule="coslog4",
    )


def window_norm(folder: Path) -> Parts:
    """Batch normalization over all rows of a step in micro-batches."""
    return train_classes(
        network(norm=True),
        folder,
        lr=3e-3,
        batch_size=64,
        microbatch_size=24,
        batchnorm="window",
    )


def ema(folder: Path) -> Parts:
    """An exponential average of the weights that starts late."""
    return train_classes(
        network(norm=True),
        folder,
        lr=3e-3,
        averaging="ema",
        ema_decay=0.95,
        averaging_start=2,
        schedule="flat_cos",
    )


def swa(folder: Path) -> Parts:
    """A plain average of the weights at the ends of epochs."""
    return train_classes(network(), folder, averaging="swa", averaging_start=3, lr=3e-3)


def bf16(folder: Path) -> Parts:
    """Autocast to bfloat16."""
    return train_classes(network(), folder, precision="bf16", lr=3e-3)


def fp16(folder: Path) -> Parts:
    """Autocast to float16 with loss scaling, in micro-batches that would be halved."""
    return train_classes(
        network(),
        folder,
        precision="fp16",
        microbatch_size="auto",
    )


def recompute(folder: Path) -> Parts:
    """Activation checkpointing, with dropout and batch normalization."""
    return train_classes(
        network(norm=True, dropout=0.3),
        folder,
        activation_checkpointing=True,
        microbatch_size=16,
    )


def row_weights(folder: Path) -> Parts:
    """Row weights in training and validation, in micro-batches; the Huber loss."""
    x, y = numbers()
    weights = torch.rand(N_ROWS, generator=generator(5)) * (torch.arange(N_ROWS) % 7 > 0)
    val = (*numbers(seed=10, n=N_VAL), torch.linspace(0.5, 2.0, N_VAL))
    return train(
        network(1),
        folder,
        (x, y, weights),
        val,
        loss=nn.HuberLoss(delta=0.5),
        microbatch_size=20,
        lr=3e-3,
    )


def class_weights(folder: Path) -> Parts:
    """Class weights and label smoothing, five targets per row, some of them ignored."""
    model = nn.Sequential(network(N_CLASSES * 5), nn.Unflatten(1, (N_CLASSES, 5)))
    x = inputs(0, N_ROWS)
    y = (x[:, :5] > -0.5).long() + (x[:, 3:] > 0.5).long()
    y[torch.rand(y.shape, generator=generator(6)) < 0.3] = -7
    loss = nn.CrossEntropyLoss(
        weight=torch.tensor([0.5, 1.0, 3.0]), ignore_index=-7, label_smoothing=0.1
    )
    return train(
        model,
        folder,
        (x[N_VAL:], y[N_VAL:]),
        (x[:N_VAL], y[:N_VAL]),
        loss=loss,
        microbatch_size=12,
        lr=3e-3,
    )


def loader(folder: Path) -> Parts:
    """A shuffling DataLoader for training, another for validation; each batch is a step."""
    return train(
        network(dropout=0.2),
        folder,
        DataLoader(TensorDataset(*classes()), batch_size=40, shuffle=True),
        DataLoader(TensorDataset(*val_classes()), batch_size=32),
        batch_size=None,
        lr=3e-3,
    )


def mean_distance(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).abs().mean()


class Uneven:
    """Batches of uneven sizes from an iterable without a length."""

    def __iter__(self) -> Iterator[Pair]:
        sizes = [11, 30, 7] * 6
        x, y = numbers(n=sum(sizes))
        yield from zip(x.split(sizes), y.split(sizes), strict=True)


def batches(folder: Path) -> Parts:
    """An iterable of batches, combined into steps; a loss that is one mean for all rows."""
    return train(
        network(1),
        folder,
        Uneven(),
        numbers(seed=10, n=N_VAL),
        loss=mean_distance,
        loss_weight=lambda _, targets: float(len(targets)),
        microbatch_size=16,
    )


def patience(folder: Path) -> Parts:
    """Stopping by a score where higher is better, with a margin and a share of patience."""
    return train_classes(
        network(),
        folder,
        lr=0.02,
        max_epochs=40,
        patience=3,
        patience_share=0.3,
        min_delta=0.002,
        scores=accuracy,
        monitor="val/accuracy",
        higher_is_better=True,
    )


def grokking(folder: Path) -> Parts:
    """Memorized rows: patience runs out and is extended while decay shrinks the weights."""
    return train(
        network(dropout=0.0),
        folder,
        classes(n=60),
        val_classes(),
        lr=0.01,
        weight_decay=0.5,
        batch_size=60,
        max_epochs=400,
        patience=60,
        patience_extends_while="grokking",
        patience_budget=4.0,
    )


def resumed(folder: Path) -> Parts:
    """A run that ends in the middle of an epoch, and a fresh trainer that resumes it."""
    again: dict[str, Any] = {"averaging": "ema", "warmup_steps": 30, "lr": 3e-3}
    train_classes(network(norm=True), folder, max_steps=26, **again)
    return train_classes(network(norm=True), folder, max_steps=70, resume=True, **again)


def found_rate(folder: Path) -> Parts:
    """A range test before training at the rate it suggests; Adam with the l2 penalty."""
    model = network()
    shared: dict[str, Any] = {"optimizer": "adam", "l2": 1e-3, "batch_size": 32}
    tester = afina.Trainer(model, loss=nn.CrossEntropyLoss(), **shared)
    found = tester.find_lr(classes(), n_steps=60)
    parts = train_classes(model, folder, lr=found.suggestion, **shared)
    parts["metrics"]["find_lr"] = digest_json([found.lrs, found.losses, found.suggestion])
    return parts


def observed(_: Path) -> Parts:
    """Two observers without a run folder, one of which ends it; batch normalization per micro-batch."""
    seen: list[Any] = []
    stop = getattr(afina.train, "Stop", str)  # an older afina stopped at any text

    def stop_late(event: Any) -> Any:
        return stop("seen enough") if event.step == 61 else None

    parts = train(
        network(norm=True),
        None,
        classes(n=321),  # the row that is left over joins the last step
        val_classes(),
        observers=[seen.append, stop_late],
        microbatch_size=8,
    )
    parts["metrics"]["observers"] = digest_json(records(seen))
    return parts


TRAINERS: dict[str, Callable[[Path], Parts]] = {
    "adamw": adamw,
    "sgd": sgd,
    "shampoo": shampoo,
    "muon": muon,
    "microbatches": microbatches,
    "window norm": window_norm,
    "ema": ema,
    "swa": swa,
    "bf16": bf16,
    "fp16": fp16,
    "recompute": recompute,
    "row weights": row_weights,
    "class weights": class_weights,
    "loader": loader,
    "batches": batches,
    "patience": patience,
    "grokking": grokking,
    "resumed": resumed,
    "found rate": found_rate,
    "observed": observed,
}
