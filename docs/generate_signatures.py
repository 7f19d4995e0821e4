"""Generate the parts of source files that follow from the settings; cog inserts them.

    cog -r -I docs src/afina/train/trainer.py src/afina/tabular/estimators/estimators.py README.md

With `--check` instead of `-r`, cog says whether they are current, as ./check and the tests do.
"""

import textwrap
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from afina.config import Config
from afina.config.names import EXPERIMENTAL, places
from afina.declaration import RESOLVED, Declaration, declarations
from afina.optim import settings as optim_settings
from afina.train import settings as train_settings
from afina.train.settings import (
    AveragingSettings,
    ExecutionSettings,
    LoopSettings,
    OptimSettings,
    StopSettings,
)

WIDTH = 100
TRAINER_CLASSES = (
    OptimSettings,
    LoopSettings,
    ExecutionSettings,
    AveragingSettings,
    StopSettings,
)
TRAINER_DOC = '''\
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
    batch_loss: in place of `loss`: `(model, batch) -> (sum, weight)` or `(sum, weight, {{name:
        sum}})`, which calls the model itself; `batch` is whatever the data yields. The weight is,
        for example, the number of targets; the other sums appear as `val/<name>`, per unit of weight.
{settings}
    scores: `(outputs, targets, weights) -> {{name: value}}` over all validation rows; the names
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
'''

TRICKS = (
    (
        "encoding of categories",
        "preprocess.categories, encodings",
        "the unknown category is trained",
    ),
    ("scaling of numbers", "preprocess.scaling", "`batchnorm`: a layer is the only scaler"),
    ("missing numbers", "preprocess.impute", "an indicator column is added"),
    ("regression targets", "preprocess.target_transform, clip_predictions", ""),
    ("normalization", "model.norm, norm_momentum, norm_eps", ""),
    (
        "position of the normalization",
        "model.norm_place",
        "before the linear layer, after it, or after the activation",
    ),
    ("activation", "model.activation", ""),
    ("depth and width", "model.n_blocks, d_block, residual", ""),
    ("embeddings of numbers", "model.numeric_embedding, n_bins, d_numeric, n_frequencies", ""),
    (
        "embeddings of categories",
        "preprocess.embedding_dim, onehot_max, min_count, unknown_rate",
        "",
    ),
    ("trained scales and activations", "model.feature_scale, parametric_activation", ""),
    (
        "several networks in one",
        "model.members_differ, members, linear_skip",
        "`weights`: an ensemble; otherwise, weights are shared",
    ),
    ("folds", "table.folds", "each member holds one fold out"),
    ("dropout", "model.dropout", ""),
    ("initialization", "model.init, init_constant", ""),
    ("weight decay", "train.weight_decay, l2", "decoupled, or in the loss; matrices only"),
    ("optimizer", "train.optimizer, momentum, beta1, beta2", ""),
    ("learning rate", "train.lr", "a number, or `find` to run a range test (`--lr find`)"),
    (
        "schedule",
        "train.schedule, warmup_steps",
        "and `flat_cos`, `coslog4` as `experimental.schedule`",
    ),
    ("clipping", "train.max_grad_norm", ""),
    ("label smoothing", "train.label_smoothing", ""),
    (
        "accumulation",
        "train.batchnorm, batch_size, microbatch_size",
        "`window`: exact with batch normalization too",
    ),
    ("weight averaging", "train.averaging, ema_decay, averaging_start", ""),
    ("half precision", "train.precision", "`fp16` with loss scaling"),
    ("memory and speed", "train.activation_checkpointing, compile, threads", ""),
    ("early stopping", "stop.patience, patience_share, min_delta, metric, monitor, time_limit", ""),
    ("class weights", "table.class_weight", "exact: as weights of the rows"),
    ("late generalization", "stop.patience_extends_while, patience_budget", ""),
    (
        "checkpoints",
        "checkpoint.every_steps, every_epochs, every_minutes, keep_last, keep_best",
        "",
    ),
)
"""README's table: the trick, its settings (with the choices of the first one), and a remark.

A setting that is in no row gets its own row."""

NO_TRICKS = {"train.seed", "train.max_epochs"}
"""Settings that are not tricks, besides those for reading the table."""


def trainer_docstring() -> str:
    """Return the docstring of `Trainer`."""
    parts = []
    for declared in _trainer_settings():
        text = f"{declared.name}: {_lower(declared.setting.trainer_doc or declared.doc)}"
        choices = [word for word in declared.choices if word not in RESOLVED]
        if choices and any(f"`{word}`" not in text for word in choices):
            text += f" One of {', '.join(f'`{word}`' for word in choices)}."
        parts.append(_wrapped(text, indent=8, width=WIDTH - 5))
    return TRAINER_DOC.format(settings="\n".join(parts)) + "\n"


def trainer_fields() -> str:
    """Return the fields of `Trainer` that are settings."""
    lines = []
    for declared in _trainer_settings():
        annotation = _annotation(declared)
        lines.append(f"{declared.name}: {annotation} = {_literal(declared.trainer_default)}")
    return "\n".join(lines) + "\n"


def estimator_arguments() -> str:
    """Return the arguments of the estimators that are settings."""
    lines = []
    for attribute in ("preprocess", "model", "train", "stop"):
        for name, declared in declarations(Config.__annotations__[attribute]).items():
            if declared.setting.scope == "trainer" or name == "seed":
                continue
            note = "  # noqa: A002 - the setting's name" if name == "compile" else ""
            text = f"{name}: {_plain(declared)} = {_literal(_estimator_default(declared))},{note}"
            lines.append(text)
    return "\n".join(lines) + "\n"


def tricks_table() -> str:
    """Return README's table of tricks."""
    rows = ["| trick | setting | choices |", "|---|---|---|"]
    shown = set()
    for trick, settings, remark in TRICKS:
        section, _, names = settings.partition(".")
        keys = names.split(", ")
        shown |= {f"{section}.{key}" for key in keys}
        choices = _choices(places()[section][keys[0]].declared)
        cell = "; ".join(part for part in (choices, remark) if part)
        cells = (
            trick,
            ", ".join([f"`{section}.{keys[0]}`", *(f"`{key}`" for key in keys[1:])]),
            cell,
        )
        rows.append(f"| {' | '.join(cells)} |")
    for section, keys in places().items():
        for key, place in keys.items():
            name = f"{section}.{key}"
            if section not in ("table", EXPERIMENTAL) and name not in shown | NO_TRICKS:
                trick = key.replace("_", " ")
                rows.append(f"| {trick} | `{name}` | {_choices(place.declared)} |")
    return "\n".join(rows) + "\n"


def _trainer_settings() -> list[Declaration]:
    return [
        declared
        for cls in TRAINER_CLASSES
        for declared in declarations(cls).values()
        if declared.setting.scope != "table"
    ]


def _annotation(declared: Declaration) -> str:
    """Write the type of the trainer's keyword."""
    parts = _parts(declared.annotation, keeps_auto=declared.setting.keeps_auto)
    if declared.setting.trainer_takes:
        parts.append(declared.setting.trainer_takes)
    if declared.trainer_default is None and "None" not in parts:
        parts.append("None")
    return " | ".join(sorted(parts, key=lambda part: part == "None"))


def _parts(annotation: Any, *, keeps_auto: bool) -> list[str]:
    """Write the members of a union; choices appear under the name of their list, if it has one."""
    if get_origin(annotation) is Annotated:
        return _parts(get_args(annotation)[0], keeps_auto=keeps_auto)
    if get_origin(annotation) in (Union, types.UnionType):
        parts = [_parts(part, keeps_auto=keeps_auto) for part in get_args(annotation)]
        return [text for part in parts for text in part]
    if get_origin(annotation) is Literal:
        if not keeps_auto and get_args(annotation)[0] in RESOLVED:
            return []
        return [_names_of_choices().get(annotation, _literal_type(annotation))]
    return ["None" if annotation is types.NoneType else annotation.__name__]


def _names_of_choices() -> Mapping[Any, str]:
    modules = (vars(optim_settings), vars(train_settings))
    return {
        value: name
        for module in modules
        for name, value in module.items()
        if get_origin(value) is Literal
    }


def _literal_type(annotation: Any) -> str:
    return f"Literal[{', '.join(map(_literal, get_args(annotation)))}]"


def _plain(declared: Declaration) -> str:
    """Write a simple type for the estimators' signature, because the settings check the choices."""
    if declared.name == "encodings":
        return "Mapping[str, Encoding] | None"
    types_ = []
    for part in declared.schema.get("anyOf", [declared.schema]):
        name = {"integer": "int", "number": "float", "boolean": "bool", "null": "None"}
        text = name.get(part.get("type", ""), "str")
        if text not in types_:
            types_.append(text)
    return " | ".join(types_)


def _estimator_default(declared: Declaration) -> Any:
    return None if declared.default == {} else declared.default


def _choices(declared: Declaration) -> str:
    words = [*declared.choices, *(["none"] if declared.optional and declared.choices else [])]
    if set(words) <= set(RESOLVED):
        return ""
    return ", ".join(f"`{word}`" for word in words)


def _literal(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _lower(text: str) -> str:
    first, _, rest = text.partition(" ")
    return f"{first.lower() if first[1:].islower() else first} {rest}" if rest else text


def _wrapped(text: str, *, indent: int, width: int) -> str:
    return textwrap.fill(
        text,
        width=width,
        initial_indent=" " * (indent - 4),
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
