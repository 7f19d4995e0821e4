"""What can be asked of a fit: one frozen class a section, one docstring a setting.

Every field name is unique over all sections, so that the estimators can offer the settings as
plain keyword arguments. Configuration stops at the edge: only `cli/` and `tabular/` read these
classes; functions and modules below take plain arguments.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

Frac = Annotated[float, Field(gt=0, lt=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Kind = Literal["numeric", "categorical", "boolean", "datetime", "text", "ignored"]
Encoding = Literal["onehot", "ordinal", "embedding"]

MOST_FOLDS = 64
_USUAL_FOLDS = 6

STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True, validate_default=True)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TableConfig:
    """How the table is read and split."""

    task: Literal["auto", "classification", "regression"] = "auto"
    """What the target is: text, two values or at most ten whole numbers are classes by `auto`."""

    kinds: dict[str, Kind] = Field(default_factory=dict)
    """Kind by column name, where the inferred one is wrong."""

    missing_values: tuple[str, ...] = ()
    """More words that mean "missing", in every column; the empty cell always does."""

    delimiter: str | None = None
    """One character between cells; found from the first line when not set."""

    encoding: str = "utf-8"
    """Text encoding of CSV files; a byte-order mark is honored whatever stands here."""

    folds: Annotated[int, Field(ge=1, le=MOST_FOLDS)] | Literal["auto"] = "auto"
    """With `members_differ = "weights"`: each member leaves out one of so many parts of the rows,
    which tells how good it is, so that all rows train and all decide when to stop (members share
    no more than the embeddings and the scales of the numbers). `auto`: about six,
    so that they divide `members`. 1, or where `val_frac`, `time` or a table of validation rows is
    given: rows are held out instead."""

    val_frac: Frac | None = None
    """Share of rows held out to decide when to stop, in (0, 1); not set: 0.2 without folds."""

    group: str | None = None
    """Column whose rows of equal value stay on one side of the split; not used as a feature."""

    time: str | None = None
    """Column by which the latest rows become the validation rows."""

    weight: str | None = None
    """Column of row weights, at least 0; a weight of 2 is the row twice. Not used as a feature."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PreprocessConfig:
    """How columns become numbers a network learns well from."""

    scaling: Literal["minmax", "standard", "robust", "quantile", "none", "batchnorm"] = "robust"
    """Scaling of numeric columns; `batchnorm` is a normalization layer as the only scaler."""

    categories: Literal["auto", "onehot", "ordinal", "embedding"] = "auto"
    """Encoding of categories; `auto`: one-hot up to `onehot_max` levels, embedding above."""

    encodings: dict[str, Encoding] = Field(default_factory=dict)
    """Encoding by column name, where `categories` is not what is wanted."""

    onehot_max: Count = 64
    """Most levels that `auto` encodes one-hot."""

    embedding_dim: Count | Literal["auto"] = 8
    """Width of a category's embedding; `auto`: from 4 to 32 by the number of its levels. With
    `members_differ = "weights"` each member has embeddings of its own."""

    min_count: Count = 2
    """Levels seen in fewer training rows (by weight) share the unknown level."""

    unknown_rate: Rate = 0.02
    """Chance, while training, that a category is shown as unknown, so that unknown is trained."""

    impute: Literal["median", "mean", "zero"] = "median"
    """What stands in for a missing number; an indicator column says that it was missing."""

    target_transform: Literal["none", "log", "quantile", "auto"] = "none"
    """What a regression target goes through before the network: logarithms, or to a normal
    distribution; `auto`: logarithms if it is skewed. Scores stay in the target's own units."""

    clip_predictions: bool = False
    """Keep predicted numbers within the range of the training targets."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ModelConfig:
    """The network."""

    n_blocks: Annotated[int, Field(ge=0)] = 2
    """Hidden blocks; 0 is a linear model."""

    d_block: Count = 64
    """Units of each hidden block."""

    residual: bool = False
    """Add each block's input to its output."""

    activation: Literal["relu", "gelu", "silu", "selu", "tanh", "sigmoid", "mish"] = "relu"
    """Activation of the hidden blocks."""

    norm: Literal["batch", "layer", "rms", "none"] = "none"
    """Normalization in each hidden block."""

    norm_place: Literal["pre", "post", "after"] = "post"
    """`pre`: before the linear; `post`: between linear and activation; `after`: after it."""

    norm_momentum: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share of the newest batch in batch normalization's running statistics, in (0, 1]."""

    norm_eps: Positive = 1e-5
    """Added to the variance before the square root."""

    dropout: Rate | Literal["auto"] = "auto"
    """Chance that a hidden unit is zeroed while training, in [0, 1); `auto`: 0.1 for classes, and
    0 for numbers, whose squared error the noise in the sums makes worse."""

    parametric_activation: bool = False
    """Let each hidden unit learn how much of the activation it takes."""

    numeric_embedding: Literal["none", "piecewise", "periodic"] = "piecewise"
    """What each number becomes before the first block: itself, a trained piecewise-linear curve
    between quantiles, or trained waves. Columns of one or two values stay as they are."""

    n_bins: Count | Literal["auto"] = "auto"
    """Most bins of a number's piecewise-linear curve; `auto`: one for each 64 training rows, at
    least 2 and at most 128 (where most rows are of one class, for each 16 rows of the others), and
    where that is 64 or more, an edge at each of up to twice as many distinct values, so that
    numbers that are codes are told apart."""

    d_numeric: Annotated[int, Field(ge=2)] | Literal["auto"] = "auto"
    """Width of a number's embedding; `auto`: 8, or 4 where more than 24 numbers have one."""

    n_frequencies: Count = 16
    """Waves of a number's periodic embedding."""

    frequency_sigma: Positive = 0.1
    """Standard deviation of the waves' frequencies at the start."""

    feature_scale: bool = False
    """Return each feature a trained factor before the first block."""

    members: Count = 6
    """Networks in one that share most weights; their predictions are averaged."""

    members_differ: Literal["input", "linear", "block", "layers", "weights"] = "weights"
    """Where members differ, besides their outputs: scales of the features (`input`); scales and
    biases behind a shared first linear layer (`linear`, several times faster with many features) or
    scales behind a shared first block (`block`); scales and biases in every layer (`layers`); or
    all weights behind the input layer, which is an ensemble (`weights`)."""

    linear_skip: bool = True
    """With `members_differ = "weights"`: add a linear model of the inputs to each member."""

    member_start: Literal["auto", "normal", "signs"] = "auto"
    """What members' scales are drawn from; `auto`: normal where they scale embedded numbers, else
    signs."""

    init: Literal[
        "auto",
        "zeros",
        "ones",
        "constant",
        "xavier_uniform",
        "xavier_normal",
        "kaiming_uniform",
        "kaiming_normal",
        "lecun_normal",
        "torch",
    ] = "torch"
    """Initialization of weights; `auto` fits each layer to the activation that follows it, which
    deep networks need; in shallow ones on tables torch's smaller weights do better."""

    init_constant: float = 0.01
    """The value of `init = "constant"`."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrainConfig:
    """The loop."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Everything random follows from it."""

    max_epochs: Count = 256
    """Most passes over the training rows."""

    batch_size: Count | Literal["auto"] = "auto"
    """Rows per optimizer step; `auto` goes by the number of training rows and the optimizer."""

    microbatch_size: Count | Literal["auto"] | None = None
    """Rows per forward and backward; the step stays that of `batch_size` rows. `auto`: halved
    when memory does not suffice."""

    batchnorm: Literal["microbatch", "window"] = "microbatch"
    """What batch normalization sees while training: each micro-batch by itself, or all rows of
    the step, exactly as without micro-batches (slower)."""

    precision: Literal["float32", "bf16", "fp16"] = "float32"
    """Arithmetic of training: float32, or autocast to half precision."""

    compile: bool = False
    """Compile the network with torch's compiler (needs a C++ compiler)."""

    activation_checkpointing: bool = False
    """Keep fewer activations in memory, and compute them again for the gradient (slower)."""

    sharding: Literal["fsdp2", "none"] = "none"
    """Under torchrun: keep only a share of the weights in each process (`fsdp2`)."""

    averaging: Literal["ema", "swa", "none"] = "ema"
    """Validate, and end on, a running average of the weights: exponential (`ema`, every step) or
    plain (`swa`, every epoch's end)."""

    ema_decay: Rate | Literal["auto"] = "auto"
    """Share of the average that stays at each step of `ema`; `auto`: one over the steps of an
    epoch goes, so that the average is over about one epoch."""

    averaging_start: Annotated[int, Field(ge=0)] = 0
    """Epochs before the average begins."""

    optimizer: Literal["adamw", "adam", "sgd", "shampoo"] = "shampoo"
    """The update rule. `shampoo`: matrices by one-sided Shampoo, all else by adamw."""

    lr: Positive | Literal["find"] = 3e-3
    """Learning rate before the schedule; `find`: by a range test before training."""

    momentum: Rate = 0.9
    """Momentum of sgd."""

    beta1: Rate = 0.9
    """Decay of the mean gradient in adam and adamw, and of what shampoo leaves to it."""

    beta2: Rate = 0.98
    """Decay of the mean squared gradient, likewise."""

    weight_decay: NonNegative = 3e-4
    """Decoupled decay of weight matrices, times the learning rate, every step."""

    l2: NonNegative = 0.0
    """Penalty (l2 / 2) * sum of squares of weight matrices, in the loss."""

    bias_lr_factor: Positive = 1.0
    """Factor of the learning rate of biases."""

    scale_lr_factor: Positive = 1.0
    """Factor of the learning rate of `model.feature_scale`."""

    activation_lr_factor: Positive = 1.0
    """Factor of the learning rate of `model.parametric_activation`."""

    numeric_lr_factor: Positive = 1.0
    """Factor of the learning rate of `model.numeric_embedding`."""

    schedule: Literal["constant", "cosine", "onecycle", "flat_cos", "coslog4"] = "constant"
    """Course of the learning rate over `max_epochs`."""

    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Steps over which the learning rate rises linearly from near 0 to the schedule."""

    max_grad_norm: Positive | None = 1.0
    """Longest gradient (2-norm over all parameters); a longer one is shortened to it."""

    label_smoothing: Rate = 0.0
    """Share of the target probability spread evenly over all classes."""

    threads: Count | Literal["auto"] = "auto"
    """Processor threads of torch; `auto` is 1 for small networks."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StopConfig:
    """When training ends. It always ends on the best weights."""

    patience: Count | None = 4
    """Evaluations (one an epoch) without improvement before training stops; none: never."""

    patience_share: NonNegative = 0.0
    """Patience is at least this share of the evaluations that it took to the last improvement: what
    has got better for long is waited for longer."""

    patience_extends_while: Literal["grokking", "none"] = "none"
    """Wait longer than `patience` while the network may still generalize late (`grokking`): its
    training loss is at its floor, validation far behind, and weight decay still shrinks it."""

    patience_budget: Annotated[float, Field(ge=1)] = 50.0
    """Patience is extended to at most so many times the steps at which it first ran out."""

    min_delta: NonNegative = 0.0
    """What counts as an improvement of the monitored metric."""

    time_limit: Positive | None = None
    """Seconds for everything, from the start of the fit to its report: training stops in time for
    the rest. Counts anew when a run is resumed. Not set: no limit."""

    monitor: str = "val/loss"
    """The metric that decides: `val/loss`, or a score's name such as `val/accuracy`."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CheckpointConfig:
    """What is kept on disk while training, so that a killed run can be resumed."""

    every_steps: Count | None = None
    """A checkpoint every so many steps."""

    every_epochs: Count | None = None
    """A checkpoint every so many epochs."""

    every_minutes: NonNegative | None = 0.5
    """A checkpoint every so many minutes."""

    keep_last: Count = 2
    """How many of the newest checkpoints stay."""

    keep_best: Annotated[int, Field(ge=0)] = 0
    """How many of the best ones by the monitored metric stay besides; each is saved as found."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Config:
    """Everything that can be asked of a fit."""

    table: TableConfig = Field(default_factory=TableConfig)
    preprocess: PreprocessConfig = Field(default_factory=PreprocessConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    stop: StopConfig = Field(default_factory=StopConfig)
    checkpoint: CheckpointConfig = Field(default_factory=CheckpointConfig)

    @property
    def n_folds(self) -> int:
        """Folds of the training rows, unless a table of validation rows is given; 1: none."""
        own = self.model.members > 1 and self.model.members_differ == "weights"
        holds_out = self.table.val_frac is not None or self.table.time is not None
        if not own or holds_out:
            return 1
        asked = self.table.folds
        return choose_folds(self.model.members) if isinstance(asked, str) else asked


def choose_folds(members: int) -> int:
    """Choose the folds of so many members: their divisor that is nearest to six; 1: there is none.

    Example:
        >>> [choose_folds(n) for n in (2, 4, 6, 7, 9, 16, 32, 67)]
        [2, 4, 6, 7, 9, 8, 8, 1]
    """
    divisors = [n for n in range(2, min(members, MOST_FOLDS) + 1) if members % n == 0]
    return min(divisors, key=lambda n: (abs(n - _USUAL_FOLDS), -n), default=1)
