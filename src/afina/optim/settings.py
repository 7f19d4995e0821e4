"""Settings of the optimizer, the learning rate and weight averaging."""

from typing import Annotated, Literal, TypeAlias

from afina.declaration import (
    CountFromZero,
    NonNegative,
    Positive,
    Rate,
    Setting,
    settings_class,
)

OptimizerName: TypeAlias = Literal["adamw", "adam", "sgd", "shampoo"]
ScheduleName: TypeAlias = Literal["constant", "cosine", "onecycle", "flat_cos", "coslog4"]
AveragingName: TypeAlias = Literal["ema", "swa"]

DEFAULT_LR = 1e-3
"""The learning rate of `Trainer` if none is set, or if a range test finds none."""


@settings_class
class OptimSettings:
    """Settings for turning a gradient into a step."""

    optimizer: Annotated[
        OptimizerName,
        Setting(
            same_at_resume=True,
            trainer="adamw",
            trainer_takes="Optimizer | Callable[[nn.Module], Optimizer]",
            trainer_takes_words="a torch optimizer, or a callable that makes one from the model",
            trainer_doc="The update rule by name (`shampoo`: matrices by one-sided Shampoo, "
            "everything else by adamw), a torch optimizer over the model's parameters, or a "
            "callable `model -> optimizer`. The keywords from `lr` to `weight_decay` apply only to "
            "optimizers chosen by name.",
        ),
    ] = "shampoo"
    """The update rule. `shampoo`: matrices by one-sided Shampoo, everything else by adamw."""

    lr: Annotated[
        Positive | Literal["find"],
        Setting(
            same_at_resume=True,
            trainer=None,
            none_means=DEFAULT_LR,
            trainer_doc="Learning rate before the schedule, above 0. None: 1e-3.",
        ),
    ] = 3e-3
    """Learning rate before the schedule; `find`: chosen by a range test before training."""

    momentum: Annotated[Rate, Setting(same_at_resume=True)] = 0.9
    """Momentum of sgd."""

    beta1: Annotated[Rate, Setting(same_at_resume=True)] = 0.9
    """Decay of the mean gradient in adam and adamw, including adamw within shampoo."""

    beta2: Annotated[Rate, Setting(same_at_resume=True, trainer=0.999)] = 0.98
    """Decay of the mean squared gradient in adam and adamw, including adamw within shampoo."""

    weight_decay: Annotated[
        NonNegative,
        Setting(
            same_at_resume=True,
            trainer=None,
            none_means=0.0,
            trainer_doc="Decoupled decay of weight matrices (not of biases and norms), times the "
            "learning rate, at every step. None: 0.",
        ),
    ] = 3e-4
    """Decoupled decay of weight matrices, times the learning rate, at every step."""

    l2: Annotated[NonNegative, Setting(same_at_resume=True)] = 0.0
    """Penalty in the loss: (l2 / 2) times the sum of squares of the weight matrices."""

    bias_lr_factor: Annotated[Positive, Setting(experimental=True, scope="table")] = 1.0
    """Factor of the learning rate for biases."""

    scale_lr_factor: Annotated[Positive, Setting(experimental=True, scope="table")] = 1.0
    """Factor of the learning rate of `model.feature_scale`."""

    activation_lr_factor: Annotated[Positive, Setting(experimental=True, scope="table")] = 1.0
    """Factor of the learning rate of `model.parametric_activation`."""

    numeric_lr_factor: Annotated[Positive, Setting(experimental=True, scope="table")] = 1.0
    """Factor of the learning rate of `model.numeric_embedding`."""

    schedule: Annotated[
        ScheduleName,
        Setting(
            same_at_resume=True,
            experimental_choices=("flat_cos", "coslog4"),
            trainer_takes="Callable[[int], float] | LRScheduler",
            trainer_takes_words="a function of the step, or a torch scheduler",
            trainer_doc="The learning rate's schedule, by name; a function that maps the step number "
            "to the factor of the learning rate; or a torch scheduler made from the optimizer that "
            "you pass. A scheduler advances after every step (`ReduceLROnPlateau`: after every "
            "evaluation, on `monitor`).",
        ),
    ] = "constant"
    """Schedule of the learning rate over `max_epochs`."""

    warmup_steps: Annotated[CountFromZero, Setting(same_at_resume=True)] = 0
    """Steps over which the learning rate rises linearly from near 0 to the schedule's first
    value."""

    max_grad_norm: Annotated[
        Positive | None,
        Setting(same_at_resume=True, trainer=None),
    ] = 1.0
    """Largest norm of the gradient (2-norm over all parameters); a gradient with a larger norm is
    scaled down to it. None: no limit."""


@settings_class
class AveragingSettings:
    """Settings of the average of the weights that is evaluated and kept."""

    averaging: Annotated[AveragingName | None, Setting(same_at_resume=True, trainer=None)] = "ema"
    """Evaluate, and end with, a running average of the weights: exponential (`ema`, at every step)
    or plain (`swa`, at the end of every epoch). None: the weights themselves."""

    ema_decay: Annotated[
        Rate | Literal["auto"],
        Setting(
            same_at_resume=True,
            trainer=0.999,
            trainer_doc="Share of the average that is kept at each step of `ema`.",
        ),
    ] = "auto"
    """Share of the average that is kept at each step of `ema`. `auto`: 1 - 1 / (steps of an epoch),
    so that the average covers about one epoch."""

    averaging_start: Annotated[CountFromZero, Setting(same_at_resume=True)] = 0
    """Epochs before the average begins."""
