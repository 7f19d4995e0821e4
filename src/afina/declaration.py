"""Declare settings: each one once, as a field of a frozen class in the package that uses it.

    @settings_class
    class StopSettings:
        '''When training ends.'''

        patience: Annotated[Count | None, Setting(same_at_resume=True, trainer=None)] = 4
        '''Evaluations without improvement before training stops.'''

Everything else follows from the field: what TOML and `--set` allow, the keywords of `Trainer` and
    of the estimators with their documentation, which settings must stay the same when a run
    resumes, the reference, and the message about a wrong value. The steps to add a setting are in
    CONTRIBUTING.md.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from afina.errors import ConfigError

_OTHER_WORDS = {
    **dict.fromkeys(("int", "integer", "uint", "float", "double", "real", "number"), "numeric"),
    **dict.fromkeys(("cat", "category", "enum", "factor", "nominal", "object"), "categorical"),
    **dict.fromkeys(("bool", "logical", "binary"), "boolean"),
    **dict.fromkeys(("date", "time", "timestamp"), "datetime"),
    **dict.fromkeys(("str", "string"), "text"),
    **dict.fromkeys(("drop", "skip", "ignore", "unused", "id"), "ignored"),
    **dict.fromkeys(("acc", "error", "error_rate"), "accuracy"),
    **dict.fromkeys(("balanced_acc", "bacc", "macro_recall", "recall_macro"), "balanced_accuracy"),
    **dict.fromkeys(("cross_entropy", "crossentropy", "neg_log_loss", "nll", "ce"), "log_loss"),
    **dict.fromkeys(("roc_auc", "auroc", "auc_roc", "roc_auc_ovr"), "auc"),
    **dict.fromkeys(("brier_score", "brier_score_loss", "neg_brier_score"), "brier"),
    **dict.fromkeys(("f1_score", "f1_binary", "fscore"), "f1"),
    **dict.fromkeys(("macro_f1", "f1_weighted", "f1_micro"), "f1_macro"),
    **dict.fromkeys(("mean_squared_error", "root_mean_squared_error", "squared_error"), "rmse"),
    **dict.fromkeys(("neg_root_mean_squared_error", "neg_mean_squared_error", "l2"), "rmse"),
    **dict.fromkeys(("mean_absolute_error", "neg_mean_absolute_error", "l1"), "mae"),
    **dict.fromkeys(("r2_score", "r_squared", "rsquared", "r^2"), "r2"),
    **dict.fromkeys(("medae", "median_ae"), "median_absolute_error"),
    **dict.fromkeys(("balanced_subsample",), "balanced"),
    **dict.fromkeys(("classify", "classifier", "classes"), "classification"),
    **dict.fromkeys(("multi", "multinomial", "categories"), "multiclass"),
    **dict.fromkeys(("regress", "regressor", "numbers"), "regression"),
}
"""The words that other libraries use for kinds, metrics and tasks, for suggestions."""

T = TypeVar("T")
N = TypeVar("N", int, float)

Frac = Annotated[float, Field(gt=0, lt=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
CountFromZero = Annotated[int, Field(ge=0)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

Schema: TypeAlias = dict[str, Any]

RESOLVED = ("auto", "find")
"""Words that stand for a rule by which a value is chosen; see `Setting.keeps_auto`."""

SAME: Any = object()
"""The default of `Setting.trainer` and `Setting.none_means`: the same as for the recipe."""

CHECKED = ConfigDict(
    extra="forbid", strict=True, use_attribute_docstrings=True, validate_default=True
)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Facts about a setting besides its type, default and docstring.

    Args:
        same_at_resume: a run can be resumed only with the value it was started with.
        experimental: in files, the setting belongs to the section `[experimental]`.
        experimental_choices: the choices that are allowed only in `[experimental]`.
        scope: `table`: the trainer has no such keyword; `trainer`: files have no such setting.
        trainer: the default in `Trainer`, if it differs from the recipe's.
        none_means: what None means in `Trainer`, if the recipe does not accept None.
        trainer_takes: what else the keyword of `Trainer` accepts, as an annotation.
        trainer_takes_words: the same, in words.
        trainer_doc: the docstring in `Trainer`, if it differs from the recipe's.
        keeps_auto: the code that uses the setting resolves "auto" itself; for other settings,
            "auto" and "find" are replaced with a value before training.
    """

    same_at_resume: bool = False
    experimental: bool = False
    experimental_choices: tuple[str, ...] = ()
    scope: Literal["both", "table", "trainer"] = "both"
    trainer: Any = SAME
    none_means: Any = SAME
    trainer_takes: str = ""
    trainer_takes_words: str = ""
    trainer_doc: str = ""
    keeps_auto: bool = False


@dataclass(frozen=True)
class Declaration:
    """A declared setting.

    Args:
        name: name of the field.
        annotation: its type without the `Setting`.
        default: the recipe's default.
        doc: the docstring under the field.
        schema: its JSON schema.
        setting: the other facts about it.
    """

    name: str
    annotation: Any
    default: Any
    doc: str
    schema: Schema
    setting: Setting

    @property
    def optional(self) -> bool:
        """Whether the setting can be None."""
        return "null" in self._types

    @property
    def takes_text(self) -> bool:
        """Whether the setting can be any text, so that "none" could be literal."""
        return "string" in self._types

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that the setting can be, including "auto"."""
        parts = self.schema.get("anyOf", [self.schema])
        return tuple(
            value for part in parts for value in part.get("enum", [part.get("const")]) if value
        )

    @property
    def trainer_default(self) -> Any:
        """The default of the keyword in `Trainer`."""
        return self.default if self.setting.trainer is SAME else self.setting.trainer

    @property
    def _types(self) -> set[str]:
        parts = self.schema.get("anyOf", [self.schema])
        return {part.get("type", "") for part in parts if not {"enum", "const"} & part.keys()}


@dataclass_transform(frozen_default=True, kw_only_default=True)
def settings_class(cls: type[T]) -> type[T]:
    """Make a class frozen, and check its values, with errors that name the setting.

    The word "none" means None if a setting is optional and is not free text. A static method
    `describe_setting` of the class may describe the values that a setting allows.

    Raises:
        ConfigError: when an object is created with an invalid value.
    """
    checked: Any = checked_dataclass(frozen=True, kw_only=True, config=CHECKED)(cls)
    validate: Callable[..., None] = checked.__init__

    @functools.wraps(validate)
    def initialize(self: Any, **values: Any) -> None:
        try:
            validate(self, **with_none(type(self), values))
        except ValidationError as error:
            raise explain(
                type(self), values, error, getattr(type(self), "describe_setting", None)
            ) from None

    checked.__init__ = initialize
    result: type[T] = checked
    return result


@functools.cache
def declarations(cls: type) -> Mapping[str, Declaration]:
    """Return the settings that a class declares or inherits, by name."""
    schemas = TypeAdapter(cls).json_schema()["properties"]
    by_name = {}
    for field in fields(cls):
        owner = next(c for c in cls.__mro__ if field.name in vars(c).get("__annotations__", ()))
        info = owner.__pydantic_fields__[field.name]  # type: ignore[attr-defined] # pydantic's
        settings = [one for one in info.metadata if isinstance(one, Setting)]
        default = info.get_default(call_default_factory=True)
        by_name[field.name] = Declaration(
            name=field.name,
            annotation=info.annotation,
            default=None if default is NO_DEFAULT else default,
            doc=" ".join((info.description or "").split()),
            schema=schemas[field.name],
            setting=settings[0] if settings else Setting(),
        )
    return by_name


def resolved(value: N | str) -> N:
    """Return a value unchanged, after making sure that it is neither "auto" nor "find".

    Raises:
        TypeError: the value is "auto" or "find".
    """
    if isinstance(value, str):
        raise TypeError(f"A setting must be resolved before it is used; got {value!r}.")
    return value


def with_none(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the word "none" into None if a setting is optional and is not free text."""
    words = [value for value in values.values() if isinstance(value, str)]
    known = declarations(cls) if "none" in words else {}
    return {
        name: None
        if value == "none" and name in known and known[name].optional and not known[name].takes_text
        else value
        for name, value in values.items()
    }


def explain(
    cls: type,
    values: Mapping[str, Any],
    error: ValidationError,
    describe: Callable[[Declaration], str] | None = None,
) -> ConfigError:
    """Turn pydantic's error into one that names the setting, what it allows, and what came instead.

    Args:
        describe: describes the values that a setting allows. None: derive them from its schema.
    """
    name, *column = [str(part) for part in error.errors()[0]["loc"]]
    if name not in declarations(cls):
        return ConfigError(
            f"{name} must be a setting of {cls.__name__}",
            but="there is no such setting",
            fix=f"The settings are: {', '.join(declarations(cls))}.",
        )
    value = values.get(name)
    declared = declarations(cls)[name]
    if isinstance(value, Mapping) and column:
        schema, keys = schema_of_parts(declared.schema)
        part = column[-1]  # of a union, the path names the alternative first
        cell = value.get(part)
        return ConfigError(
            f"{name}[{part!r}] must be {describe_allowed(schema)}",
            got=f"{cell!r:.80}",
            fix=suggest_choice(cell, schema.get("enum", ()))
            or f"Correct it, or leave the {keys.removesuffix('s')} out.",
        )
    allowed = describe(declared) if describe else describe_allowed(declared.schema, none="None")
    default = declared.trainer_default if describe else declared.default
    near = suggest_choice(value, declared.choices) if isinstance(value, str) else ""
    return ConfigError(
        f"{name} must be {allowed}",
        got=f"{name}={value!r:.80}",
        fix=f"{near} The default is {default!r}.".strip(),
    )


def schema_of_parts(schema: Schema) -> tuple[Schema, str]:
    """Return the schema of the values of a setting that is a table, and what its keys are."""
    table = next(part for part in schema.get("anyOf", [schema]) if "additionalProperties" in part)
    keys: str = table.get("keys", "columns")
    return table["additionalProperties"], keys


def suggest_choice(word: object, choices: Sequence[str]) -> str:
    """Suggest the choice that another library's word means, or the most similar one; else "".

    Example:
        >>> suggest_choice("int64", ["numeric", "text"]), suggest_choice("texts", ["numeric", "text"])
        ("Did you mean 'numeric'?", "Did you mean 'text'?")
    """
    plain = str(word).lower().strip().replace("-", "_").replace(" ", "_")
    near = _OTHER_WORDS.get(plain) or _OTHER_WORDS.get(plain.rstrip("0123456789"), "")
    if near not in choices:
        near = "".join(get_close_matches(plain, choices, n=1, cutoff=0.65))
    return f"Did you mean {near!r}?" if near else ""


def describe_allowed(schema: Schema, *, none: str = '"none"') -> str:
    """Describe the values that a JSON schema allows.

    Args:
        none: how to write None.

    Example:
        >>> describe_allowed({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "auto"}]})
        'a whole number, at least 1, or "auto"'
    """
    if "anyOf" in schema:
        return ", or ".join(describe_allowed(part, none=none) for part in schema["anyOf"])
    if "enum" in schema:
        return "one of " + ", ".join(f'"{value}"' for value in schema["enum"])
    if "const" in schema:
        return f'"{schema["const"]}"'
    if schema.get("type") == "object":
        part, keys = schema_of_parts(schema)
        return f"a table of {keys}, each {describe_allowed(part)}"
    words = {
        "null": none,
        "boolean": "true or false" if none != "None" else "True or False",
        "array": 'a list such as ["NA", "?"]',
        "integer": "a whole number" + _bounds(schema),
        "number": "a number" + _bounds(schema),
    }
    return words.get(schema.get("type", ""), "text")


def _bounds(schema: Schema) -> str:
    phrases = (
        ("minimum", "at least"),
        ("exclusiveMinimum", "above"),
        ("maximum", "at most"),
        ("exclusiveMaximum", "below"),
    )
    parts = [f"{phrase} {_short(schema[name])}" for name, phrase in phrases if name in schema]
    return (", " + " and ".join(parts)) if parts else ""


def _short(bound: float) -> str:
    return "2^63" if bound == 2**63 else f"{bound:g}"
