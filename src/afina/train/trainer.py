"""`Trainer`: the loop for any `nn.Module`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer

from afina.errors import ConfigError
from afina.optim import AveragingName, OptimizerName, ScheduleName, decayed_parameters
from afina.train import rng
from afina.train.batches import Data, eval_batches, input_batches, make_data
from afina.train.evaluate import Scores, evaluate_batches, predict_batches
from afina.train.events import Event, Observer, StopEvent
from afina.train.gradient_plan import BatchNorm, Sharding, plan_gradient, spread
from afina.train.grokking import SignReader, make_sign_reader
from afina.train.loop import Limits, TrainSetup, train
from afina.train.loss import Loss, WeightedLoss, make_weighted_loss
from afina.train.lr_range import LrRange, run_range
from afina.train.precision import Precision
from afina.train.processes import ALONE, Processes, current_processes, naming_lost_peers, only_first
from afina.train.run import resume_point
from afina.train.run.checkpoint import CheckpointPlan
from afina.train.run.interrupts import StopRequest, stop_requests
from afina.train.run.journal import Journal, open_journal, take_folder
from afina.train.run.run_tensors import all_tensors, end_on_best, load_tensors
from afina.train.settings import (
    check_processes,
    check_settings,
    chosen_optimizer,
    chosen_schedule,
    first_state,
    settings_to_keep,
)
from afina.train.snapshots import kept_optimizer, kept_weights
from afina.train.state import TrainState
from afina.train.stopping import ExtendsWhile
from afina.train.train_mode import has_batch_norm, train_mode

EVAL_ROWS = 2048


@dataclass(frozen=True)
class Result:
    """What a fit came to: why it ended, records since the last resume, trained numbers."""

    stop: StopEvent
    history: tuple[Event, ...]
    n_parameters: int


@dataclass(eq=False)
class Trainer:
    """Train any `nn.Module`: exact, resumable, and ending on the best weights.

    One *step* is one optimizer update and sees `batch_size` rows; `microbatch_size` says how many
    of them go through the model at once. The result is that of the whole batch, for every model
    that does not look across rows (batch normalization does: see `batchnorm`).

    The model trains in the modes it is in; a model that is in eval mode as a whole is put in
    train mode first. Submodules left in eval mode by you (frozen batch normalization, say) stay so.

    Args:
        model: the network; it is trained in place.
        loss: a torch loss module or function, or `(outputs, targets) -> values`, one value per
            row or target; see `afina.train.make_weighted_loss`.
        loss_weight: for a loss that returns a mean: the weight it stands for.
        optimizer: `"adamw"`, `"adam"`, `"sgd"`, `"shampoo"`, a torch optimizer over the model's
            parameters, or a callable `model -> optimizer`. `lr` to `beta2` are for named ones.
        lr: learning rate before the schedule; 1e-3 by default.
        weight_decay: decoupled decay of weight matrices, not of biases or norms; 0 by default.
        l2: penalty (l2 / 2) * sum of squares of weight matrices, in the loss.
        momentum: of sgd.
        beta1: decay of the mean gradient, adam and adamw; shampoo: of all but its matrices.
        beta2: decay of the mean squared gradient, likewise.
        max_grad_norm: longest gradient, 2-norm over all parameters; none: any.
        schedule: `"constant"`, `"cosine"`, `"onecycle"`, or a function of the step number that
            gives the factor of the learning rate.
        warmup_steps: steps of linear warm-up (named schedules).
        batch_size: rows per step; for tensors 256 by default. For an iterable of batches: none
            makes each batch a step; a number takes batches together up to so many rows.
        microbatch_size: most rows per forward and backward; none: all at once; `"auto"`: halved
            when memory does not suffice, and the same step run again as if nothing had been.
        batchnorm: what batch normalization sees: `"microbatch"`, each micro-batch by itself, or
            `"window"`, all rows of the step, exactly as without micro-batches.
        precision: `"float32"`, or autocast to `"bf16"` or `"fp16"` (with loss scaling) in
            training; evaluation is in float32.
        compile: compile forward and loss with torch's compiler (needs a C++ compiler).
        sharding: `"fsdp2"` spreads parameters, gradients and moments over the processes that
            torchrun started; none: each process has them all. Every process takes its share of a
            step's rows either way.
        activation_checkpointing: keep fewer activations, and compute them again for the gradient.
        averaging: `"ema"` or `"swa"`: evaluate, and end on, an average of the weights; see
            `afina.optim.Average`. None: the weights themselves.
        ema_decay: decay of `"ema"` per step, in [0, 1).
        averaging_start: epochs before the average begins; `"ema"` then takes in every step,
            `"swa"` every epoch's end.
        max_epochs: most passes over the data.
        max_steps: most steps.
        eval_every: epochs between evaluations.
        patience: evaluations without improvement before training stops; none: never.
        patience_share: patience is at least this share of those to the last improvement.
        patience_extends_while: `"grokking"`: wait longer while late generalization is possible;
            see `afina.train.stopping.Extension`. None: patience is patience.
        patience_budget: most times the steps at which it first ran out that patience extends to.
        min_delta: what counts as an improvement.
        monitor: the metric that decides what is best.
        higher_is_better: direction of `monitor`; known for losses.
        scores: `(outputs, targets, weights) -> {name: value}` over all validation rows; the names
            appear as `val/<name>`.
        seed: everything random follows from it.
        run_dir: folder for checkpoints and metrics.jsonl; none: nothing is written.
        checkpoints: when checkpoints are written and which stay.
        observers: callables that get every event; see `afina.train.events`.
        log_every: of how many steps one is written to metrics.jsonl.

    Example:
        >>> x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
        >>> trainer = Trainer(nn.Linear(3, 1), loss=nn.MSELoss(), lr=0.1, max_epochs=5)
        >>> trainer.fit((x, x.sum(1, keepdim=True))).stop.reason
        'max_epochs'
        >>> trainer.predict(x).shape
        torch.Size([64, 1])
    """

    model: nn.Module
    _: KW_ONLY
    loss: Loss
    loss_weight: Callable[[Any, Any], float] | None = None
    optimizer: OptimizerName | Optimizer | Callable[[nn.Module], Optimizer] = "adamw"
    lr: float | None = None
    weight_decay: float | None = None
    l2: float = 0.0
    momentum: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.999
    max_grad_norm: float | None = None
    schedule: ScheduleName | Callable[[int], float] = "constant"
    warmup_steps: int = 0
    batch_size: int | None = None
    microbatch_size: int | Literal["auto"] | None = None
    batchnorm: BatchNorm = "microbatch"
    precision: Precision = "float32"
    compile: bool = False
    sharding: Sharding | None = None
    activation_checkpointing: bool = False
    averaging: AveragingName | None = None
    ema_decay: float = 0.999
    averaging_start: int = 0
    max_epochs: int = 100
    max_steps: int | None = None
    eval_every: int = 1
    patience: int | None = None
    patience_share: float = 0.0
    patience_extends_while: ExtendsWhile | None = None
    patience_budget: float = 50.0
    min_delta: float = 0.0
    monitor: str = "val/loss"
    higher_is_better: bool | None = None
    scores: Scores | None = None
    seed: int = 0
    run_dir: str | Path | None = None
    checkpoints: CheckpointPlan | None = None
    observers: Sequence[Observer] = ()
    log_every: int = 1

    def __post_init__(self) -> None:
        check_settings(vars(self))
        self.weighted_loss: WeightedLoss = make_weighted_loss(self.loss, self.loss_weight)
        self.folder = None if self.run_dir is None else Path(self.run_dir)
        if self.higher_is_better is None:
            self.higher_is_better = False
        self.limits = Limits(
            max_epochs=self.max_epochs, max_steps=self.max_steps, eval_every=self.eval_every
        )

    def fit(self, data: Any, val: Any = None, *, resume: bool = False) -> Result:
        """Train; the model ends on the best weights by `monitor` (the last without `val`).

        Args:
            data: `(x, y)` or `(x, y, weights)` in memory, x a tensor, a tuple or a dict of
                tensors; or an iterable of such batches, such as a DataLoader.
            val: rows to validate on, in the same forms.
            resume: go on from the newest whole checkpoint in `run_dir` (from the start if there
                is none), ending where the uninterrupted run ends, bit for bit. Model, data and
                settings must be made as they were for the first `fit`.

        Raises:
            NonFiniteError: the loss or gradient is NaN or infinite; the step was not taken.
            Interrupted: SIGINT or SIGTERM came; the state was saved first (with `run_dir`).
            StorageError: `run_dir` cannot be written, or holds a run already.
            LockedError: another process is using `run_dir`.
            CheckpointError: every checkpoint is damaged.
            PeerError: another process of the run ended, or does not answer.
        """
        if isinstance(data, Iterator) and self.limits.max_epochs > 1:
            raise ConfigError(
                "Training data must be readable once an epoch, however: "
                f"{type(data).__name__} can be read once. Pass a list or a DataLoader."
            )
        if val is None and self.patience is not None:
            raise ConfigError("patience needs validation rows: pass val=(x, y), or patience=None.")
        with ExitStack() as stack:
            processes = stack.enter_context(current_processes(self._device()))
            saved = "Nothing was saved, as there is no run_dir."
            if self.folder is not None:
                saved = f"What was saved last is in {self.folder / 'checkpoints'}."
            stack.enter_context(naming_lost_peers(saved))
            stack.enter_context(rng.isolated())
            stack.enter_context(rng.deterministic())
            stack.enter_context(train_mode(self.model))
            only_first(processes, lambda: take_folder(self.folder, stack))
            request = stack.enter_context(stop_requests(active=self.folder is not None))
            model = stack.enter_context(spread(self.model, processes, self.sharding))
            trainer = self if model is self.model else replace(self, model=model)
            return trainer._fit(  # noqa: SLF001 - it is one of us
                data, val, resume=resume, request=request, stack=stack, processes=processes
            )

    def predict(self, x: Any, *, batch_size: int = EVAL_ROWS) -> Any:
        """Compute the outputs for all rows, in eval mode and without gradients.

        Args:
            x: a tensor or array, a tuple or dict of them, or an iterable of batches, of which
                the inputs (the first of a tuple) are taken.
            batch_size: rows at a time, for data in memory.

        Raises:
            NonFiniteError: an output is NaN or infinite; the message names the row.
        """
        return predict_batches(self.model, input_batches(x, batch_size, self._device()))

    def evaluate(self, data: Any) -> dict[str, float]:
        """Compute the loss and the scores on `data`, in eval mode and without gradients."""
        return evaluate_batches(
            self.model,
            self.weighted_loss,
            eval_batches(data, EVAL_ROWS, self._device()),
            self.scores,
        )

    def find_lr(
        self, data: Any, *, lowest: float = 1e-6, highest: float = 1.0, n_steps: int = 100
    ) -> LrRange:
        """Try rising learning rates on the first steps of training, and put everything back.

        Model, optimizer and random numbers are afterwards bit for bit what they were, so that a
        `fit` that follows is the same with and without it. Nothing is written.

        Args:
            data: as for `fit`.
            lowest: first learning rate.
            highest: last learning rate, if the loss does not diverge before.
            n_steps: steps to take at most, at least 2.

        Raises:
            ConfigError: rates or steps that cannot be.
            NonFiniteError: the loss is not finite even at the lowest rate.
        """
        with ExitStack() as stack:
            stack.enter_context(rng.isolated())
            stack.enter_context(rng.deterministic())
            stack.enter_context(train_mode(self.model))
            stack.enter_context(kept_weights(self.model))
            optimizer = chosen_optimizer(self.model, vars(self))
            stack.enter_context(kept_optimizer(optimizer))
            self.model.zero_grad(set_to_none=True)
            job = self._job(self._data(data), optimizer, stack)
            state = first_state(vars(self))
            return run_range(job, state, lowest=lowest, highest=highest, n_steps=n_steps)

    def _fit(
        self,
        data: Any,
        val: Any,
        *,
        resume: bool,
        request: StopRequest,
        stack: ExitStack,
        processes: Processes,
    ) -> Result:
        source = self._data(data)
        optimizer = chosen_optimizer(self.model, vars(self))
        self.model.zero_grad(set_to_none=True)
        job = self._job(source, optimizer, stack, processes)
        state = first_state(vars(self))
        settings = settings_to_keep(vars(self), source.steps_per_epoch)
        limits = {**vars(self.limits), "validation": val is not None, "resume": resume}
        check_processes(vars(self), data, processes, kept={**settings, **limits})
        snapshot = resume_point.shared_snapshot(
            processes, lambda: resume_point.find_snapshot(self.folder, settings, resume=resume)
        )
        under, sharded = (self._device(), processes, self.sharding), self.sharding is not None
        if snapshot is not None:
            stack.enter_context(resume_point.same_conditions(snapshot.conditions, *under))
            trees = load_tensors(self.model, optimizer, snapshot.trees, sharded=sharded)
            state.restore(snapshot.state, trees)
            resume_point.extend(state, self.limits)
            source.seek(snapshot.position)

        def whole(state: TrainState) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
            keep = processes.first
            return all_tensors(self.model, optimizer, state, sharded=sharded, keep=keep), {
                "position": source.position(),
                "conditions": resume_point.conditions(*under),
                "settings": settings,
            }

        journal = Journal(tuple(self.observers), request, whole, processes)
        open_journal(
            journal,
            stack,
            folder=self.folder,
            plan=self.checkpoints or CheckpointPlan(),
            log_every=self.log_every,
            metrics_bytes=0 if snapshot is None else snapshot.metrics_bytes,
            higher_is_better=bool(self.higher_is_better),
        )
        job = replace(
            job,
            evaluate=None if val is None else lambda: self._validate(val, processes),
            read_signs=self._sign_reader(job, val),
            notify=journal.notify,
            checkpoint=journal.checkpoint,
        )
        stop = train(job, state)
        journal.save(state)
        end_on_best(self.model, state)
        n_parameters = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        return Result(stop, tuple(journal.history), n_parameters)

    def _job(
        self,
        source: Data,
        optimizer: Optimizer,
        stack: ExitStack,
        processes: Processes = ALONE,
    ) -> TrainSetup:
        """Say what is trained and how; nobody looks on yet. The optimizer must be fresh."""
        return TrainSetup(
            model=self.model,
            gradient=plan_gradient(
                self.model,
                self.weighted_loss,
                stack,
                device=self._device(),
                precision=self.precision,
                compiled=self.compile,
                recompute=self.activation_checkpointing,
                batchnorm=self.batchnorm,
                halve=self.microbatch_size == "auto",
                seed=self.seed,
                processes=processes,
                sharded=self.sharding is not None and not processes.alone,
            ),
            optimizer=optimizer,
            lrs=[group["lr"] for group in optimizer.param_groups],
            schedule=chosen_schedule(vars(self), self.limits.total_steps(source.steps_per_epoch)),
            data=source,
            monitor=self.monitor,
            limits=self.limits,
            average_from=self.averaging_start,
            max_grad_norm=self.max_grad_norm,
            l2=self.l2,
            l2_params=decayed_parameters(self.model) if self.l2 else (),
        )

    def _sign_reader(self, job: TrainSetup, val: Any) -> SignReader | None:
        if self.patience_extends_while is None:
            return None
        return make_sign_reader(
            self.model,
            job.optimizer,
            l2_params=job.l2_params,
            outputs=lambda: self.predict(
                next(iter(eval_batches(val, EVAL_ROWS, self._device()))).x
            ),
        )

    def _data(self, data: Any) -> Data:
        return make_data(
            data,
            batch_size=self.batch_size,
            seed=self.seed,
            device=self._device(),
            no_single=has_batch_norm(self.model),
        )

    def _validate(self, val: Any, processes: Processes) -> dict[str, float]:
        found = {f"val/{name}": float(value) for name, value in self.evaluate(val).items()}
        metrics: dict[str, float] = processes.broadcast_json(found)
        return metrics

    def _device(self) -> torch.device:
        first = next(self.model.parameters(), None)
        return torch.device("cpu") if first is None else first.device
