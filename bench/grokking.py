"""Measure what `patience_extends_while="grokking"` is worth on addition modulo 97.

The network sees two numbers and predicts their sum modulo 97; 40 % of the 9,409 pairs are training
rows. It memorizes them within 1,000 steps and finds the rule many thousand steps later. Each case runs
over several seeds, with plain and with extended patience:

- rule: embeddings, one hidden ReLU layer, initial weights four times as large as torch's;
- normed: the same with a LayerNorm before the head, so that the scale of the outputs is the signal;
- random, random_normed: the same networks on random labels, where there is no rule to find;
- undecayed: the network of `rule` without weight decay.

A run with extended patience ends when the trainer stops it, or at 99 % validation accuracy.

    python bench/grokking.py [--seeds 5] [--quick] [--json FILE] [--replay] [--plot FILE]

Everything takes about half an hour on one core; `--quick`, one seed of two cases, about three
minutes.
"""

import argparse
import json
import platform
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import altair as alt
import torch
import vl_convert
from torch import Tensor, nn

import afina
from afina.train import EpochEvent, EvalEvent, Event, stopping
from afina.train.grokking import GrokkingSigns, output_scale, weight_norm

P, TRAIN_SHARE = 97, 0.4
D_EMBEDDING, D_HIDDEN = 128, 256
BATCH, EVAL_EVERY, PATIENCE, BUDGET = 512, 10, 10, 50.0
MAX_STEPS = 60_000
REACHED, ENOUGH = 0.95, 0.99

Data = tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Case:
    """The task, the network and the training settings of a case."""

    lr: float = 3e-3
    weight_decay: float = 0.3
    init: float = 4.0
    normed: bool = False
    random_labels: bool = False


CASES = {
    "rule": Case(),
    "normed": Case(lr=1e-3, weight_decay=1.0, normed=True),
    "random": Case(random_labels=True),
    "random_normed": Case(lr=1e-3, weight_decay=1.0, normed=True, random_labels=True),
    "undecayed": Case(weight_decay=0.0),
}


TITLES = {
    "rule": "a net without normalization",
    "normed": "a LayerNorm before the head",
    "random": "random labels",
    "random_normed": "random labels, LayerNorm",
    "undecayed": "no weight decay",
}
LINES = [
    "training accuracy",
    "validation accuracy",
    "norm of the weights",
    "scale of the outputs",
]


class Adder(nn.Module):
    """Embeddings of two numbers, one hidden layer, a logit for each possible sum."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.left, self.right = nn.Embedding(P, D_EMBEDDING), nn.Embedding(P, D_EMBEDDING)
        self.hidden = nn.Linear(2 * D_EMBEDDING, D_HIDDEN)
        self.norm = nn.LayerNorm(D_HIDDEN) if case.normed else nn.Identity()
        self.head = nn.Linear(D_HIDDEN, P)
        with torch.no_grad():
            for table in (self.left, self.right):
                table.weight.mul_(case.init / 2)
            for layer in (self.hidden, self.head):
                layer.weight.mul_(case.init)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.cat([self.left(x[:, 0]), self.right(x[:, 1])], 1)
        return self.head(self.norm(self.hidden(h).relu()))


@dataclass
class Run:
    """The outcome of a run; the lists have one entry per evaluation."""

    case: str
    seed: int
    extended: bool
    step: list[int] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    val_accuracy: list[float] = field(default_factory=list)
    weight_norm: list[float] = field(default_factory=list)
    output_scale: list[float] = field(default_factory=list)
    why: str = ""
    seconds: float = 0.0

    def reached(self) -> int | None:
        """Return the step at which validation accuracy first reached 95 %."""
        pairs = zip(self.step, self.val_accuracy, strict=True)
        return next((step for step, accuracy in pairs if accuracy >= REACHED), None)


def make_data(case: Case, seed: int) -> Data:
    generator = torch.Generator().manual_seed(seed)
    pairs = torch.cartesian_prod(torch.arange(P), torch.arange(P))
    sums = pairs.sum(1) % P
    if case.random_labels:
        sums = torch.randint(0, P, (len(pairs),), generator=generator)
    order = torch.randperm(len(pairs), generator=generator)
    rows = order.split([int(TRAIN_SHARE * len(pairs)), len(pairs) - int(TRAIN_SHARE * len(pairs))])
    train, val = ((pairs[r], sums[r]) for r in rows)
    return train, val


def accuracy(outputs: Tensor, targets: Tensor, _weights: Any) -> dict[str, float]:
    return {"accuracy": float((outputs.argmax(1) == targets).float().mean())}


def run(name: str, seed: int, *, extended: bool, enough: float) -> Run:
    """Train once and record the figures of every evaluation."""
    case, record = CASES[name], Run(name, seed, extended)
    train, val = make_data(case, seed)
    torch.manual_seed(seed)
    net = Adder(case)
    last_loss = float("nan")

    def look(event: Event) -> str | None:
        nonlocal last_loss
        if isinstance(event, EpochEvent):
            last_loss = event.loss
        if not isinstance(event, EvalEvent):
            return None
        record.step.append(event.step)
        record.train_loss.append(last_loss)
        record.train_accuracy.append(trainer.evaluate(train)["accuracy"])
        record.val_loss.append(event.metrics["val/loss"])
        record.val_accuracy.append(event.metrics["val/accuracy"])
        decayed = [p for p in net.parameters() if p.ndim > 1]
        record.weight_norm.append(weight_norm(decayed))
        record.output_scale.append(output_scale(trainer.predict(val[0])))
        return "it generalizes" if record.val_accuracy[-1] >= enough else None

    trainer = afina.Trainer(
        net,
        loss=nn.CrossEntropyLoss(),
        lr=case.lr,
        weight_decay=case.weight_decay,
        beta2=0.98,
        batch_size=BATCH,
        max_epochs=1_000_000,
        max_steps=MAX_STEPS,
        eval_every=EVAL_EVERY,
        patience=PATIENCE,
        patience_extends_while="grokking" if extended else None,
        patience_budget=BUDGET,
        scores=accuracy,
        seed=seed,
        observers=[look],
    )
    start = time.perf_counter()
    record.why = trainer.fit(train, val).stop.why
    record.seconds = time.perf_counter() - start
    return record


def show(runs: list[Run]) -> None:
    """Print one line per case and seed, with plain and with extended patience."""
    print(
        "| case | seed | plain: steps | accuracy | extended: steps | accuracy | 95 % at | seconds |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for plain, longer in zip(runs[::2], runs[1::2], strict=True):
        cells = [plain.case, plain.seed, plain.step[-1], f"{plain.val_accuracy[-1]:.3f}"]
        cells += [longer.step[-1], f"{longer.val_accuracy[-1]:.3f}", longer.reached() or "-"]
        print("|", " | ".join(map(str, [*cells, f"{longer.seconds:.0f}"])), "|")
    for one in runs[1::2]:
        print(f"{one.case}, seed {one.seed}: {one.why}")


def end_under(one: Run, patience: int, *, norm_for_all: bool) -> int | None:
    """Apply another rule to a run's evaluations; return the step at which it stops, or None."""
    of_outputs = CASES[one.case].normed and not norm_for_all
    scales = one.output_scale if of_outputs else one.weight_norm
    decays = CASES[one.case].weight_decay > 0
    rule = stopping.Stopping(patience=patience, extension=stopping.Extension(patience, BUDGET))
    readings = zip(one.step, one.train_loss, one.val_loss, scales, strict=True)
    for step, train_loss, val_loss, scale in readings:
        signs = GrokkingSigns(train_loss, val_loss, decays, scale)
        rule.update(val_loss, step=step, epoch=step, signs=signs)
        if rule.exhausted:
            return step
    return None


def replay(runs: list[Run]) -> None:
    """Print where other rules would have ended the extended runs (`-`: not before their end)."""
    kept = stopping.LEAST_FALL, stopping.STILL_FITTING
    variants = {
        "the rule of afina": (*kept, PATIENCE, False),
        "no wait for the training loss": (kept[0], 1.0, PATIENCE, False),
        "fall of 0.5 % a patience": (0.005, kept[1], PATIENCE, False),
        "fall of 2 % a patience": (0.02, kept[1], PATIENCE, False),
        "patience 6": (*kept, 6, False),
        "weight norm for all nets": (*kept, PATIENCE, True),
    }
    for name, (least, fitting, patience, norm_for_all) in variants.items():
        stopping.LEAST_FALL, stopping.STILL_FITTING = least, fitting
        for case in dict.fromkeys(one.case for one in runs):
            longer = [one for one in runs if one.case == case and one.extended]
            ends = [end_under(one, patience, norm_for_all=norm_for_all) for one in longer]
            print(f"{name}: {case}:", *(end or "-" for end in ends))
    stopping.LEAST_FALL, stopping.STILL_FITTING = kept


def rows_of(one: Run, plain_end: int) -> list[dict[str, Any]]:
    """Return a run for the plot: one row per point, and one per vertical line."""
    scale = ("scale of the outputs", one.output_scale)
    if not CASES[one.case].normed:
        scale = ("norm of the weights", one.weight_norm)
    lines = {
        "training accuracy": one.train_accuracy,
        "validation accuracy": one.val_accuracy,
        scale[0]: [value / max(scale[1]) for value in scale[1]],
    }
    rows = [
        {"case": one.case, "step": step, "value": value, "line": name}
        for name, values in lines.items()
        for step, value in zip(one.step, values, strict=True)
    ]
    ends = {"plain patience stops": plain_end, "the extended run ends": one.step[-1]}
    return rows + [{"case": one.case, "end": step, "what": what} for what, step in ends.items()]


def draw(runs: list[Run], path: Path) -> None:
    """Plot the first seed of each extended case: what happened, and where it ended."""
    pairs = zip(runs[::2], runs[1::2], strict=True)
    shown = [(a, b) for a, b in pairs if b.seed == 0 and b.step[-1] > a.step[-1]]
    panels = []
    for plain, longer in shown:
        data = alt.Data(values=rows_of(longer, plain.step[-1]))
        curves = (
            alt.Chart(data)
            .mark_line(clip=True)
            .encode(
                alt.X("step:Q").scale(type="log", domain=[80, 20_000], nice=False).title("steps"),
                alt.Y("value:Q").scale(domain=[0, 1]).title("accuracy; part of the largest"),
                alt.Color("line:N").title(None).scale(domain=LINES),
            )
        )
        ends = (
            alt.Chart(data)
            .mark_rule(clip=True)
            .encode(alt.X("end:Q"), alt.StrokeDash("what:N").title(None))
        )
        title = f"{longer.case}: {TITLES[longer.case]}"
        panels.append((curves + ends).properties(width=330, height=180, title=title))
    chart = alt.concat(*panels, columns=2)
    path.write_text(vl_convert.vegalite_to_svg(chart.to_dict()), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Extended patience on addition modulo 97.")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one seed of two cases")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--whole", action="store_true", help="do not end at 99 % accuracy")
    parser.add_argument("--json", type=Path, help="save the runs in this file")
    parser.add_argument("--read", type=Path, help="show the runs of such a file; train nothing")
    parser.add_argument("--replay", action="store_true", help="compare with other rules")
    parser.add_argument("--plot", type=Path, help="draw the first seeds, as SVG")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {platform.machine()}, one thread")
    cases, seeds = (("rule", "random"), 1) if args.quick else (args.cases, args.seeds)
    if args.read:
        runs = [Run(**one) for one in json.loads(args.read.read_bytes())]
    else:
        runs = [
            run(name, seed, extended=extended, enough=2.0 if args.whole else ENOUGH)
            for name in cases
            for seed in range(seeds)
            for extended in (False, True)
        ]
    show(runs)
    if args.replay:
        replay(runs)
    if args.json:
        args.json.write_text(json.dumps([asdict(one) for one in runs]), encoding="utf-8")
    if args.plot:
        draw(runs, args.plot)


if __name__ == "__main__":
    main()
