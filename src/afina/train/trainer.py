"""`Trainer`: the loop for any `nn.Module`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer

from afina.errors import ConfigError
from afina.optim.groups import decayed_parameters
from afina.optim.settings import AveragingName, OptimizerName, ScheduleName
from afina.train.assembly import (
    check_processes,
    choose_optimizer,
    choose_schedule,
    choose_sign_reader,
    device_of,
    first_state,
    resume_record,
    training_conditions,
)
from afina.train.batches import (
    EVAL_ROWS,
    Data,
    eval_batches,
    input_batches,
    make_data,
    undisturbed,
)
from afina.train.evaluate import Scores, evaluate_batches, predict_batches
from afina.train.events import Event, Observer, StopEvent
from afina.train.gradient_plan import planned_gradient, spread
from afina.train.keywords import form_settings
from afina.train.loop import TrainSetup, most_steps, train
from afina.train.loss import Loss, make_weighted_loss
from afina.train.lr_range import LrRange, run_range
from afina.train.processes import ALONE, Processes, current_processes, naming_lost_peers
from afina.train.run.checkpoint_plan import CheckpointPlan
from afina.train.run.interrupts import StopRequest, stop_requests
from afina.train.run.journal import open_journal, owned_folder
from afina.train.run.resume_point import (
    checkpoint_content,
    continued,
    find_snapshot,
    shared_snapshot,
)
from afina.train.run.run_tensors import end_on_best
from afina.train.settings import (
    BatchNormRows,
    ExtendsWhile,
    Precision,
    Sharding,
    TrainerSettings,
)
from afina.train.snapshots import kept_optimizer, kept_weights
from afina.train.train_mode import has_batch_norm


@dataclass(frozen=True)
class Result:
    """What came of a fit: why it ended, events since the last resume, trained parameters."""

    stop: StopEvent
    history: tuple[Event, ...]
    n_parameters: int


@dataclass(eq=False)
class Trainer:
    # [[[cog
    # import generate_signatures
    # cog.out(generate_signatures.trainer_docstring())
    # ]]]
    """Train any `nn.Module`: exact, resumable, and ending on the best weights.

    One *step* is one optimizer update and sees `batch_size` rows; `microbatch_size` says how many
    of them go through the model at once. The result is that of the whole batch, for every model
    that does not look across rows (batch normalization does: see `batchnorm`).

    The model trains in the modes it is in; a model that is in eval mode as a whole is put in train
    mode first. Submodules that you left in eval mode (frozen batch normalization, say) stay so.

    Args:
        model: the network; it is trained in place.
        loss: a torch loss module or function, or `(outputs, targets) -> values`, one value per row or
            target; see `afina.train.make_weighted_loss`.
        loss_weight: for a loss that returns a mean: the weight that the mean stands for.
        optimizer: the update rule by name (`shampoo`: matrices by one-sided Shampoo, everything
            else by adamw), a torch optimizer over the model's parameters, or a callable `model ->
            optimizer`. `lr` to `weight_decay` apply only to named ones. One of `adamw`, `adam`,
            `sgd`, `shampoo`.
        lr: learning rate before the schedule, above 0. None: 1e-3.
        momentum: momentum of sgd.
        beta1: decay of the mean gradient in adam and adamw, including adamw within shampoo.
        beta2: decay of the mean squared gradient in adam and adamw, including adamw within
            shampoo.
        weight_decay: decoupled decay of weight matrices (not of biases and norms), times the
            learning rate, at every step. None: 0.
        l2: penalty in the loss: (l2 / 2) times the sum of squares of the weight matrices.
        schedule: course of the learning rate over the run, by name, or a function of the step
            number that returns the factor of the learning rate. One of `constant`, `cosine`,
            `onecycle`, `flat_cos`, `coslog4`.
        warmup_steps: steps over which the learning rate rises linearly from near 0 to the
            schedule.
        max_grad_norm: largest norm of the gradient (2-norm over all parameters); a larger gradient
            is scaled down to it. None: no limit.
        seed: everything random follows from it.
        max_epochs: most passes over the training rows.
        max_steps: most steps. None: only `max_epochs` counts.
        batch_size: rows per step. None: 256 for tensors; of an iterable, each batch is a step.
            With a number, batches of an iterable are merged up to that many rows.
        eval_every: epochs between evaluations.
        log_every: write one of this many steps to metrics.jsonl.
        microbatch_size: most rows per forward and backward; the step stays that of `batch_size`
            rows. `auto`: halved when memory does not suffice, and the same step is run again as if
            nothing had happened. None: all rows of the step at once.
        batchnorm: what batch normalization sees while training. `microbatch`: each micro-batch
            alone; `window`: all rows of the step, exactly as without micro-batches (slower).
        precision: arithmetic of training: float32, or autocast to half precision (`fp16` with loss
            scaling). Evaluation is in float32. One of `float32`, `bf16`, `fp16`.
        compile: compile forward and loss with torch's compiler (needs a C++ compiler).
        activation_checkpointing: keep fewer activations in memory, and compute them again for the
            gradient (slower).
        sharding: under torchrun. `fsdp2`: keep only a share of parameters, gradients and moments
            in each process. None: each process has them all. Either way each process takes its
            share of a step's rows.
        averaging: evaluate, and end with, a running average of the weights: exponential (`ema`, at
            every step) or plain (`swa`, at the end of every epoch). None: the weights themselves.
        ema_decay: share of the average that is kept at each step of `ema`.
        averaging_start: epochs before the average begins.
        patience: evaluations without improvement before training stops (tables are evaluated once
            an epoch). None: never.
        patience_share: make patience at least this share of the evaluations up to the last
            improvement: a run that has improved for long is given more time.
        patience_extends_while: wait longer than `patience` while the network may still generalize
            late (`grokking`): its training loss is at its floor, validation is far behind, and
            weight decay still shrinks it. None: patience is not extended.
        patience_budget: extend patience to at most this many times the steps at which it first ran
            out.
        min_delta: smallest change of the monitored metric that counts as an improvement.
        monitor: the metric that decides what is best: `val/loss`, or a score such as
            `val/accuracy`.
        higher_is_better: whether more of `monitor` is better. None: known for losses, where less
            is better.
        scores: `(outputs, targets, weights) -> {name: value}` over all validation rows; the names
            appear as `val/<name>`.
        run_dir: folder for checkpoints and metrics.jsonl. None: nothing is written.
        checkpoints: when checkpoints are written and which of them stay.
        observers: callables that get every event; see `afina.train.events`.

    Example:
        >>> x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
        >>> trainer = Trainer(nn.Linear(3, 1), loss=nn.MSELoss(), lr=0.1, max_epochs=5)
        >>> trainer.fit((x, x.sum(1, keepdim=True))).stop.reason
        'max_epochs'
        >>> trainer.predict(x).shape
        torch.Size([64, 1])
    """

    # [[[end]]]

    model: nn.Module
    _: KW_ONLY
    loss: Loss
    loss_weight: Callable[[Any, Any], float] | None = None
    # [[[cog
    # cog.out(generate_signatures.trainer_fields())
    # ]]]
    optimizer: OptimizerName | Optimizer | Callable[[nn.Module], Optimizer] = "adamw"
    lr: float | None = None
    momentum: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.999
    weight_decay: float | None = None
    l2: float = 0.0
    schedule: ScheduleName | Callable[[int], float] = "constant"
    warmup_steps: int = 0
    max_grad_norm: float | None = None
    seed: int = 0
    max_epochs: int = 100
    max_steps: int | None = None
    batch_size: int | None = None
    eval_every: int = 1
    log_every: int = 1
    microbatch_size: int | Literal["auto"] | None = None
    batchnorm: BatchNormRows = "microbatch"
    precision: Precision = "float32"
    compile: bool = False
    activation_checkpointing: bool = False
    sharding: Sharding | None = None
    averaging: AveragingName | None = None
    ema_decay: float = 0.999
    averaging_start: int = 0
    patience: int | None = None
    patience_share: float = 0.0
    patience_extends_while: ExtendsWhile | None = None
    patience_budget: float = 50.0
    min_delta: float = 0.0
    monitor: str = "val/loss"
    higher_is_better: bool | None = None
    # [[[end]]]
    scores: Scores | None = None
    run_dir: str | Path | None = None
    checkpoints: CheckpointPlan | None = None
    observers: Sequence[Observer] = ()

    def __post_init__(self) -> None:
        settings = form_settings(self)
        self.weighted_loss = make_weighted_loss(self.loss, self.loss_weight)
        self.folder = None if self.run_dir is None else Path(self.run_dir)
        self.higher_is_better = bool(settings.higher_is_better)

    def fit(self, data: Any, val: Any = None, *, resume: bool = False) -> Result:
        """Train; the model ends on the best weights by `monitor` (the last without `val`).

        Args:
            data: `(x, y)` or `(x, y, weights)` in memory, x a tensor, a tuple or a dict of
                tensors; or an iterable of such batches, such as a DataLoader.
            val: rows to validate on, in the same forms.
            resume: continue from the newest whole checkpoint in `run_dir` (from the start if there
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
        settings = form_settings(self)
        if isinstance(data, Iterator) and settings.max_epochs > 1:
            raise ConfigError(
                "Training data must be readable once an epoch",
                but=f"a {type(data).__name__} can be read only once",
                fix="Pass a list or a DataLoader.",
            )
        if val is None and settings.patience is not None:
            raise ConfigError(
                "patience needs validation rows", fix="Pass val=(x, y), or patience=None."
            )
        saved = "Nothing was saved, because there is no run_dir."
        if self.folder is not None:
            saved = f"What was saved last is in {self.folder / 'checkpoints'}."
        with (
            current_processes(device_of(self.model)) as processes,
            naming_lost_peers(saved),
            training_conditions(self.model),
            owned_folder(self.folder, processes),
            stop_requests(active=self.folder is not None) as request,
            spread(self.model, processes, settings.sharding) as model,
            self._setup(model, data, settings, processes) as setup,
        ):
            return self._run(setup, data, val, resume=resume, request=request, processes=processes)

    def predict(self, x: Any, *, batch_size: int = EVAL_ROWS) -> Any:
        """Compute the outputs for all rows, in eval mode and without gradients.

        Args:
            x: a tensor or array, a tuple or dict of them, or an iterable of batches, of which
                the inputs (the first of a tuple) are taken.
            batch_size: rows at a time, for data in memory.

        Raises:
            NonFiniteError: an output is NaN or infinite; the message names the row.
        """
        with undisturbed(x):
            return predict_batches(self.model, input_batches(x, batch_size, device_of(self.model)))

    def evaluate(self, data: Any) -> dict[str, float]:
        """Compute the loss and the scores on `data`, in eval mode and without gradients."""
        with undisturbed(data):
            return self._evaluate(self.model, data)

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
        settings = form_settings(self)
        with (
            training_conditions(self.model),
            kept_weights(self.model),
            self._setup(self.model, data, settings, ALONE) as setup,
            kept_optimizer(setup.optimizer),
        ):
            state = first_state(settings)
            return run_range(setup, state, lowest=lowest, highest=highest, n_steps=n_steps)

    def _run(
        self,
        setup: TrainSetup,
        data: Any,
        val: Any,
        *,
        resume: bool,
        request: StopRequest,
        processes: Processes,
    ) -> Result:
        model, settings, device = setup.model, setup.settings, device_of(setup.model)
        record = resume_record(
            settings,
            batch_size=self.batch_size,
            optimizer=self.optimizer,
            schedule=self.schedule,
            steps_per_epoch=setup.data.steps_per_epoch,
        )
        limits = {"max_epochs": settings.max_epochs, "max_steps": settings.max_steps}
        alike = {**record, **limits, "validation": val is not None, "resume": resume}
        check_processes(settings, data, processes, record=alike)
        snapshot = shared_snapshot(
            processes, lambda: find_snapshot(self.folder, record, resume=resume)
        )
        state = first_state(settings)
        with (
            continued(setup, state, snapshot, device, processes),
            open_journal(
                self.folder,
                settings,
                plan=self.checkpoints or CheckpointPlan(),
                observers=self.observers,
                request=request,
                whole=checkpoint_content(setup, record, device, processes),
                processes=processes,
                metrics_bytes=0 if snapshot is None else snapshot.metrics_bytes,
            ) as journal,
        ):
            setup = replace(
                setup,
                evaluate=None if val is None else lambda: self._validate(model, val, processes),
                read_signs=choose_sign_reader(setup, val),
                notify=journal.notify,
                checkpoint=journal.checkpoint,
            )
            stop = train(setup, state)
            journal.save(state)
            end_on_best(model, state)
        n_parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
        return Result(stop, tuple(journal.history), n_parameters)

    @contextmanager
    def _setup(
        self, model: nn.Module, data: Any, settings: TrainerSettings, processes: Processes
    ) -> Iterator[TrainSetup]:
        """Return what is trained and how; nobody observes it yet."""
        device = device_of(model)
        optimizer = choose_optimizer(model, self.optimizer, settings)
        model.zero_grad(set_to_none=True)
        source = self._data(data, device)
        total_steps = most_steps(settings, source.steps_per_epoch)
        schedule = choose_schedule(self.schedule, settings, total_steps)
        with planned_gradient(model, self.weighted_loss, settings, device, processes) as gradient:
            yield TrainSetup(
                model=model,
                gradient=gradient,
                optimizer=optimizer,
                lrs=[group["lr"] for group in optimizer.param_groups],
                schedule=schedule,
                data=source,
                settings=settings,
                l2_params=decayed_parameters(model) if settings.l2 else (),
            )

    def _data(self, data: Any, device: torch.device | None = None) -> Data:
        return make_data(
            data,
            batch_size=self.batch_size,
            seed=self.seed,
            device=device or device_of(self.model),
            no_single=has_batch_norm(self.model),
        )

    def _evaluate(self, model: nn.Module, data: Any) -> dict[str, float]:
        batches = eval_batches(data, EVAL_ROWS, device_of(model))
        return evaluate_batches(model, self.weighted_loss, batches, self.scores)

    def _validate(self, model: nn.Module, val: Any, processes: Processes) -> dict[str, float]:
        scores = {f"val/{name}": float(value) for name, value in self._evaluate(model, val).items()}
        metrics: dict[str, float] = processes.broadcast_json(scores)
        return metrics
