"""Settings of the loop: how long, on which batches, by which arithmetic, and when it stops."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from afina.declaration import (
    RESOLVED,
    Count,
    Declaration,
    NonNegative,
    Positive,
    Setting,
    describe_allowed,
    settings_class,
)
from afina.optim.settings import AveragingSettings, OptimSettings

BatchNormRows: TypeAlias = Literal["microbatch", "window"]
Precision: TypeAlias = Literal["float32", "bf16", "fp16"]
Sharding: TypeAlias = Literal["fsdp2"]
ExtendsWhile: TypeAlias = Literal["grokking"]
Metric: TypeAlias = Literal[
    "accuracy",
    "balanced_accuracy",
    "log_loss",
    "auc",
    "brier",
    "f1",
    "f1_macro",
    "rmse",
    "mae",
    "r2",
    "median_absolute_error",
]


@settings_class
class LoopSettings:
    """How long training lasts, and what a step sees."""

    seed: Annotated[int, Field(ge=0, lt=2**63), Setting(same_at_resume=True)] = 0
    """Seed of all random numbers."""

    max_epochs: Annotated[Count, Setting(trainer=100)] = 256
    """Largest number of passes over the training rows."""

    max_steps: Annotated[Count | None, Setting(scope="trainer")] = None
    """Largest number of steps. None: only `max_epochs` limits it."""

    batch_size: Annotated[
        Count | Literal["auto"],
        Setting(
            same_at_resume=True,
            trainer=None,
            none_means="auto",
            trainer_doc="Rows per step. None: 256 for tensors; each batch of an iterable is a "
            "step. With a number, batches of an iterable are merged up to that many rows.",
        ),
    ] = "auto"
    """Rows per optimizer step. `auto`: depends on the number of training rows and on
    the optimizer."""

    batches_per_step: Annotated[Count, Setting(scope="trainer", same_at_resume=True)] = 1
    """Batches of an iterable that make up one step; each goes through the model by itself."""

    eval_every: Annotated[Count, Setting(scope="trainer", same_at_resume=True)] = 1
    """Epochs between evaluations."""

    eval_batch_size: Annotated[Count | None, Setting(scope="trainer", same_at_resume=True)] = None
    """Largest number of rows at a time in evaluation and prediction. None: as many as go through the
    model at once in training, so that evaluation never needs more memory than a step."""

    log_every: Annotated[Count, Setting(scope="trainer")] = 1
    """Write only one out of this many steps to metrics.jsonl."""


@settings_class
class ExecutionSettings:
    """How a step is computed."""

    microbatch_size: Annotated[
        Count | Literal["auto"] | None, Setting(same_at_resume=True, keeps_auto=True)
    ] = None
    """Largest number of rows per forward and backward pass; a step still sees `batch_size` rows.
    `auto`: halved when memory runs out, and the same step is run again as if nothing had happened.
    None: all rows of the step at once."""

    batchnorm: Annotated[BatchNormRows, Setting(same_at_resume=True)] = "microbatch"
    """What batch normalization sees while training. `microbatch`: each micro-batch alone;
    `window`: all rows of the step, exactly as without micro-batches (slower)."""

    precision: Annotated[Precision, Setting(same_at_resume=True)] = "float32"
    """Arithmetic of training: float32, or autocast to half precision (`fp16` with loss scaling).
    Evaluation is in float32."""

    compile: Annotated[bool, Setting(same_at_resume=True)] = False
    """Compile the forward pass and the loss with torch's compiler (needs a C++ compiler)."""

    activation_checkpointing: bool = False
    """Keep fewer activations in memory, and compute them again for the gradient (slower)."""

    sharding: Annotated[Sharding | None, Setting(experimental=True)] = None
    """How torchrun's processes divide the model. `fsdp2`: each process keeps only a share of the
    parameters, gradients and moments. None: each process keeps all of them. Either way, each process
    takes its share of a step's rows."""


@settings_class
class StopSettings:
    """When training ends. It always ends on the best weights."""

    patience: Annotated[Count | None, Setting(same_at_resume=True, trainer=None)] = 4
    """Evaluations without improvement before training stops (tables are evaluated once an epoch).
    None: never."""

    patience_share: Annotated[NonNegative, Setting(same_at_resume=True)] = 0.0
    """Make patience at least this share of the evaluations up to the last improvement: a run that
    has improved for a long time is given more time."""

    patience_extends_while: Annotated[ExtendsWhile | None, Setting(same_at_resume=True)] = None
    """Wait longer than `patience` while the network may still generalize late (`grokking`): its
    training loss is at its floor, validation is far behind, and weight decay still shrinks it.
    None: patience is not extended."""

    patience_budget: Annotated[float, Field(ge=1), Setting(same_at_resume=True)] = 50.0
    """Extend patience to at most this many times the steps at which it first ran out."""

    min_delta: Annotated[NonNegative, Setting(same_at_resume=True)] = 0.0
    """Smallest change in the monitored metric that counts as an improvement."""

    time_limit: Annotated[Positive | None, Setting(scope="table")] = None
    """Seconds for the whole fit, from the start of the command to the report; training stops early
    enough for the rest. A network that is no better than the baseline by then is replaced by the
    baseline. The time starts again when a run is resumed. Not set: no limit."""

    monitor: Annotated[str, Setting(same_at_resume=True)] = "val/loss"
    """The metric that decides what is best: `val/loss`, or a score such as `val/accuracy`."""

    metric: Annotated[Metric | None, Setting(scope="table")] = None
    """The score that decides what is best, in place of `monitor`, and that comes first in results:
    `accuracy`, `balanced_accuracy`, `log_loss`, `auc`, `brier`, `f1` or `f1_macro` for classes;
    `rmse`, `mae`, `r2` or `median_absolute_error` for numbers. With two classes, `f1` is that of
    the second class; with more, it is the mean over the classes, like `f1_macro`, and `auc` is the
    mean of each class against the rest. Not set: `monitor` decides."""

    higher_is_better: Annotated[bool | None, Setting(scope="trainer", same_at_resume=True)] = None
    """Whether higher values of `monitor` are better. None: only for losses, where lower is better."""

    @property
    def watched(self) -> str:
        """The name in the log of the metric that decides which weights are best."""
        name = self.metric or self.monitor.removeprefix("val/")
        return f"val/{name}"


@settings_class
class TrainerSettings(
    StopSettings, ExecutionSettings, AveragingSettings, OptimSettings, LoopSettings
):
    """All settings that `Trainer` takes as keywords, in one object."""

    @staticmethod
    def describe_setting(declared: Declaration) -> str:
        """Say in words what the trainer's keyword can be."""
        parts = declared.schema.get("anyOf", [declared.schema])
        if not declared.setting.keeps_auto:
            parts = [part for part in parts if part.get("const") not in RESOLVED]
        if declared.setting.trainer is None and not declared.optional:
            parts = [*parts, {"type": "null"}]
        allowed = describe_allowed({"anyOf": parts}, none="None")
        besides = declared.setting.trainer_takes_words
        return f"{allowed}, or {besides}" if besides else allowed
