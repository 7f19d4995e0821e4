"""`Trainer`: the loop for any `nn.Module`."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from afina.optim.settings import AveragingName, OptimizerName, ScheduleName
from afina.train import gate
from afina.train.assembly import device_of, first_state, training_conditions
from afina.train.batch_loss import BatchLoss, choose_loss
from afina.train.batches import Batch, Data, as_batch, as_whole_batch
from afina.train.evaluate import predict_batches
from afina.train.events import Observer
from afina.train.fitting import evaluated, run
from afina.train.gradient_plan import spread
from afina.train.keywords import form_settings
from afina.train.loop import TrainSetup
from afina.train.loss import Loss, WeightedLoss
from afina.train.lr_range import LrRange, run_range
from afina.train.notebook import trainer_html, trainer_text
from afina.train.processes import ALONE, Processes, current_processes, naming_lost_peers
from afina.train.rates import check_scheduler
from afina.train.result import Result
from afina.train.run.checkpoint_plan import CheckpointPlan
from afina.train.run.interrupts import stop_requests
from afina.train.run.journal import owned_folder
from afina.train.score_keepers import Scores, keep_scores
from afina.train.settings import (
    BatchNormRows,
    ExtendsWhile,
    Precision,
    Sharding,
    TrainerSettings,
)
from afina.train.setup import made_setup
from afina.train.snapshots import kept_optimizer, kept_weights
from afina.train.train_mode import has_batch_norm
from afina.train.trained_module import loss_tensors


@dataclass(eq=False)
class Trainer:
    # [[[cog
    # import generate_signatures
    # cog.out(generate_signatures.trainer_docstring())
    # ]]]
    """Train any `nn.Module`: exact, resumable, and ending on the best weights.

    One *step* is one optimizer update and sees `batch_size` rows; `microbatch_size` says how many
    of them go through the model at once. The result is the same as for the whole batch, for every
    model that does not look across rows (batch normalization does: see `batchnorm`).

    The model trains in the modes it is in; a model that is entirely in eval mode is put into train
    mode first. Submodules that you left in eval mode (frozen batch normalization, say) stay in it.

    Args:
        model: the network; it is trained in place.
        loss: a torch loss module or function, or `(outputs, targets) -> values`, one value per row or
            target; see `afina.train.make_weighted_loss`.
        loss_weight: for a loss that returns a mean: `(outputs, targets) -> weight` of that mean, such
            as the number of targets that it averages.
        batch_loss: in place of `loss`: `(model, batch) -> (sum, weight)` or `(sum, weight, {name:
            sum})`, which calls the model itself; `batch` is whatever the data yields. The weight is,
            for example, the number of targets; the other sums appear as `val/<name>`, per unit of weight.
        optimizer: the update rule by name (`shampoo`: matrices by one-sided Shampoo, everything
            else by adamw), a torch optimizer over the model's parameters, or a callable `model ->
            optimizer`. The keywords from `lr` to `weight_decay` apply only to optimizers chosen by
            name. One of `adamw`, `adam`, `sgd`, `shampoo`.
        lr: learning rate before the schedule, above 0. None: 1e-3.
        momentum: momentum of sgd.
        beta1: decay of the mean gradient in adam and adamw, including adamw within shampoo.
        beta2: decay of the mean squared gradient in adam and adamw, including adamw within
            shampoo.
        weight_decay: decoupled decay of weight matrices (not of biases and norms), times the
            learning rate, at every step. None: 0.
        l2: penalty in the loss: (l2 / 2) times the sum of squares of the weight matrices.
        schedule: the learning rate's schedule, by name; a function that maps the step number to
            the factor of the learning rate; or a torch scheduler made from the optimizer that you
            pass. A scheduler advances after every step (`ReduceLROnPlateau`: after every
            evaluation, on `monitor`). One of `constant`, `cosine`, `onecycle`, `flat_cos`,
            `coslog4`.
        warmup_steps: steps over which the learning rate rises linearly from near 0 to the
            schedule's first value.
        max_grad_norm: largest norm of the gradient (2-norm over all parameters); a gradient with a
            larger norm is scaled down to it. None: no limit.
        seed: seed of all random numbers.
        max_epochs: largest number of passes over the training rows.
        max_steps: largest number of steps. None: only `max_epochs` limits it.
        batch_size: rows per step. None: 256 for tensors; each batch of an iterable is a step. With
            a number, batches of an iterable are merged up to that many rows.
        batches_per_step: batches of an iterable that make up one step; each goes through the model
            by itself.
        eval_every: epochs between evaluations.
        eval_batch_size: largest number of rows at a time in evaluation and prediction. None: as
            many as go through the model at once in training, so that evaluation never needs more
            memory than a step.
        log_every: write only one out of this many steps to metrics.jsonl.
        microbatch_size: largest number of rows per forward and backward pass; a step still sees
            `batch_size` rows. `auto`: halved when memory runs out, and the same step is run again
            as if nothing had happened. None: all rows of the step at once.
        batchnorm: what batch normalization sees while training. `microbatch`: each micro-batch
            alone; `window`: all rows of the step, exactly as without micro-batches (slower).
        precision: arithmetic of training: float32, or autocast to half precision (`fp16` with loss
            scaling). Evaluation is in float32. One of `float32`, `bf16`, `fp16`.
        compile: compile the forward pass and the loss with torch's compiler (needs a C++
            compiler).
        activation_checkpointing: keep fewer activations in memory, and compute them again for the
            gradient (slower).
        sharding: how torchrun's processes divide the model. `fsdp2`: each process keeps only a
            share of the parameters, gradients and moments. None: each process keeps all of them.
            Either way, each process takes its share of a step's rows.
        averaging: evaluate, and end with, a running average of the weights: exponential (`ema`, at
            every step) or plain (`swa`, at the end of every epoch). None: the weights themselves.
        ema_decay: share of the average that is kept at each step of `ema`.
        averaging_start: epochs before the average begins.
        patience: evaluations without improvement before training stops (tables are evaluated once
            an epoch). None: never.
        patience_share: make patience at least this share of the evaluations up to the last
            improvement: a run that has improved for a long time is given more time.
        patience_extends_while: wait longer than `patience` while the network may still generalize
            late (`grokking`): its training loss is at its floor, validation is far behind, and
            weight decay still shrinks it. None: patience is not extended.
        patience_budget: extend patience to at most this many times the steps at which it first ran
            out.
        min_delta: smallest change in the monitored metric that counts as an improvement.
        monitor: the metric that decides what is best: `val/loss`, or a score such as
            `val/accuracy`.
        higher_is_better: whether higher values of `monitor` are better. None: only for losses,
            where lower is better.
        scores: `(outputs, targets, weights) -> {name: value}` over all validation rows; the names
            appear as `val/<name>`. Or a metric with `update`, `compute` and `reset`, such as those of
            torchmetrics, or several in a mapping by name.
        run_dir: folder for checkpoints and metrics.jsonl. None: nothing is written.
        checkpoints: when checkpoints are written, and which of them are kept.
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
    loss: Loss | None = None
    loss_weight: Callable[[Any, Any], float] | None = None
    batch_loss: BatchLoss | None = None
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
    schedule: ScheduleName | Callable[[int], float] | LRScheduler = "constant"
    warmup_steps: int = 0
    max_grad_norm: float | None = None
    seed: int = 0
    max_epochs: int = 100
    max_steps: int | None = None
    batch_size: int | None = None
    batches_per_step: int = 1
    eval_every: int = 1
    eval_batch_size: int | None = None
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
        self.higher_is_better = bool(settings.higher_is_better)
        self.weighted_loss  # noqa: B018 - an invalid loss is refused here already
        keep_scores(self.scores)
        self.loader_rows: int | None = None

    def __repr__(self) -> str:
        return trainer_text(self)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the model's name and the settings that were changed."""
        return trainer_html(self)

    @property
    def weighted_loss(self) -> WeightedLoss:
        """The loss, in a form whose parts add up."""
        return choose_loss(self)

    @property
    def convert(self) -> Callable[[Any], Batch]:
        """The function that makes a batch from what the data yields."""
        return as_batch if self.batch_loss is None else as_whole_batch

    @property
    def folder(self) -> Path | None:
        """The run's folder; None if nothing is written."""
        return None if self.run_dir is None else Path(self.run_dir)

    def fit(self, data: Any, val: Any = None, *, resume: bool = False) -> Result:
        """Train; the model ends on the best weights by `monitor` (without `val`, on the last ones).

        Args:
            data: `(x, y)` or `(x, y, weights)` in memory, where x and y are each a tensor, or a
                tuple or dict of tensors; or an iterable of such batches, such as a DataLoader or a
                list.
            val: rows to validate on, in the same forms.
            resume: continue from the newest complete checkpoint in `run_dir` (from the start if
                there is none), ending where the uninterrupted run ends, bit for bit. The model, the
                data and the settings must be made as for the first `fit`.

        A second `fit` continues from the model's present weights. A named optimizer is made anew;
        an optimizer object keeps its moments. Learning rates, and a torch scheduler, start again
        where they were before the first `fit`.

        Raises:
            ConfigError: the data has an unsupported form, does not fit the model, or cannot be
                resumed.
            NonFiniteError: the loss or gradient is NaN or infinite; the step was not taken.
            Interrupted: Ctrl-C (with `run_dir`, also SIGTERM) was received. The step was finished,
                the model has its best weights, and `error.result` is the Result so far; with
                `run_dir`, the state was saved first. This is a KeyboardInterrupt.
            StorageError: `run_dir` cannot be written, or already holds a run.
            LockedError: another process is using `run_dir`.
            CheckpointError: every checkpoint is damaged.
            PeerError: another process of the run has ended, or does not respond.
        """
        settings = form_settings(self)
        gate.check_data(
            data, val, settings, resumable=self.folder is not None, convert=self.convert
        )
        self.loader_rows = gate.rows_at_once(data, self.convert)
        saved = "Nothing was saved, because there is no run_dir."
        if self.folder is not None:
            saved = f"The last checkpoint is in {self.folder / 'checkpoints'}."
        with (
            current_processes(device_of(self.model)) as processes,
            naming_lost_peers(saved),
            training_conditions(self.model, *loss_tensors(self.weighted_loss)),
            owned_folder(self.folder, processes),
            stop_requests(saves=self.folder is not None, alone=processes.alone) as request,
            spread(self.model, processes, settings.sharding) as model,
            self._setup(model, data, settings, processes) as setup,
            gate.naming_mismatches(),
        ):
            check_scheduler(self.schedule, setup.optimizer, settings, validates=val is not None)
            return run(self, setup, data, val, resume=resume, request=request, processes=processes)

    def predict(
        self, x: Any, *, batch_size: int | None = None, allow_infinite: bool = False
    ) -> Any:
        """Compute the outputs for all rows, in eval mode and without gradients.

        Args:
            x: a tensor or array, a tuple or dict of them, or an iterable of batches. If a batch is
                a tuple, its first item is the input.
            batch_size: most rows at a time. None: as in evaluation.
            allow_infinite: allow infinite outputs, such as logits of -inf; NaN is never allowed.

        Raises:
            NonFiniteError: an output is NaN or infinite; the message names the row.
        """
        rows = gate.eval_rows(self)
        rows = rows if batch_size is None else gate.exactly(batch_size)
        batches = gate.input_batches(x, rows, device_of(self.model))
        with gate.undisturbed(x), gate.naming_mismatches():
            return predict_batches(self.model, batches, allow_infinite=allow_infinite)

    def evaluate(self, data: Any) -> dict[str, float]:
        """Compute the loss and the scores on `data`, in eval mode and without gradients."""
        gate.check_validation_data(data, once=True, convert=self.convert)
        with gate.undisturbed(data), gate.naming_mismatches():
            return evaluated(self, self.model, data)

    def find_lr(
        self, data: Any, *, lowest: float = 1e-6, highest: float = 1.0, n_steps: int = 100
    ) -> LrRange:
        """Try rising learning rates on the first steps of training, then restore everything.

        Afterwards, model, optimizer and random numbers are what they were, bit for bit, so a later
        `fit` is not affected. Nothing is written to disk.

        Args:
            data: as for `fit`.
            lowest: first learning rate.
            highest: last learning rate, unless the loss diverges earlier.
            n_steps: steps to take at most, at least 2.

        Raises:
            ConfigError: the rates or the number of steps are out of range.
            NonFiniteError: the loss is not finite even at the lowest rate.
        """
        settings = form_settings(self)
        gate.check_training_data(data, once=False, convert=self.convert)
        with (
            gate.naming_mismatches(),
            training_conditions(self.model, *loss_tensors(self.weighted_loss)),
            self._setup(self.model, data, settings, ALONE) as setup,
            kept_weights(setup.model),
            kept_optimizer(setup.optimizer),
        ):
            state = first_state(settings)
            return run_range(setup, state, lowest=lowest, highest=highest, n_steps=n_steps)

    def _setup(
        self, model: nn.Module, data: Any, settings: TrainerSettings, processes: Processes
    ) -> AbstractContextManager[TrainSetup]:
        return made_setup(
            model,
            self.weighted_loss,
            settings,
            optimizer=self.optimizer,
            schedule=self.schedule,
            batch_size=self.batch_size,
            data=data,
            source=self._data(data, device_of(model)),
            processes=processes,
        )

    def _data(self, data: Any, device: torch.device | None = None) -> Data:
        return gate.make_data(
            data,
            batch_size=self.batch_size,
            seed=self.seed,
            device=device or device_of(self.model),
            no_single=has_batch_norm(self.model),
            batches_per_step=self.batches_per_step,
            convert=self.convert,
        )
