"""Arguments and options that several commands share, and how they become settings."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from afina.errors import ConfigError

if TYPE_CHECKING:
    from afina.config import Config


@dataclass
class Switches:
    """The options that the code around a command needs, stored in the command's context.

    Args:
        quiet: show no notes.
        debug: show the traceback of an error.
        started: `time.monotonic()` when the user started the command.
    """

    quiet: bool = False
    debug: bool = False
    started: float = field(default_factory=time.monotonic)


def _switch_quiet(context: typer.Context, value: bool) -> bool:
    context.ensure_object(Switches).quiet |= value
    return value


def _switch_debug(context: typer.Context, value: bool) -> bool:
    context.ensure_object(Switches).debug |= value
    return value


def value_option(metavar: str, help: str, *names: str) -> Any:  # noqa: A002 - typer's name for it
    """Declare an option that takes a value."""
    return typer.Option(*names, metavar=metavar, show_default=False, help=help)


# Eager, so that they take effect even if another option is wrong.
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        callback=_switch_quiet,
        is_eager=True,
        help="Print nothing but errors and the result.",
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print more.")]
Debug = Annotated[
    bool,
    typer.Option(
        "--debug", callback=_switch_debug, is_eager=True, help="Show where an error came from."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing file or run.")]

Table = Annotated[
    Path,
    typer.Argument(
        metavar="TABLE",
        show_default=False,
        help="A table: .csv, .tsv (also .gz), .parquet, .feather or .arrow; - is stdin.",
    ),
]
Model = Annotated[
    Path,
    typer.Argument(metavar="MODEL", show_default=False, help="A run folder or a model folder."),
]
Run = Annotated[
    Path, typer.Argument(metavar="RUN", show_default=False, help="A run folder of `afina fit`.")
]
Kinds = Annotated[
    list[str] | None,
    value_option(
        "COL=KIND",
        "Read a column as numeric, categorical, boolean, datetime, text or ignored.",
        "--kind",
    ),
]
Task = Annotated[
    str | None,
    value_option(
        "TASK",
        "What the target is: binary, multiclass or regression; inferred by default: table.task.",
    ),
]
ConfigFile = Annotated[Path | None, value_option("FILE", "Settings in TOML.", "--config")]
Settings = Annotated[
    list[str] | None,
    value_option("SECTION.KEY=VALUE", "Change a setting, such as train.lr=1e-2.", "--set"),
]
ReadingSettings = Annotated[
    list[str] | None,
    value_option(
        "table.KEY=VALUE",
        "Read the table differently than in training: table.delimiter or table.encoding.",
        "--set",
    ),
]


def reading_arguments(settings: list[str] | None) -> dict[str, str]:
    """Turn lines `table.delimiter=...` and `table.encoding=...` into arguments of `read_table`.

    Raises:
        ConfigError: a line sets anything else; all other settings are the model's.
    """
    from afina.config import Config, apply_settings, check_config

    names = [line.partition("=")[0].strip() for line in settings or []]
    for name in names:
        if name not in ("table.delimiter", "table.encoding"):
            raise ConfigError(
                "Here, --set can only change table.delimiter or table.encoding",
                got=name,
                fix="Leave it out: the model has its settings from `afina fit`.",
            )
    config = apply_settings(Config(), settings or [])
    check_config(config)
    keys = [name.removeprefix("table.") for name in names]
    values = {key: getattr(config.table, key) for key in keys}
    return {key: value for key, value in values.items() if value is not None}


def make_config(
    *,
    file: Path | None,
    settings: list[str] | None,
    preset: str | None = None,
    kinds: list[str] | None = None,
    flags: Mapping[str, Any],
) -> "Config":
    """Combine the settings: preset, then file, then `--set`, then `--kind` and other options.

    Args:
        file: TOML file.
        settings: lines `section.key=value`.
        preset: name of the preset. None: the one in the file, or the default.
        kinds: lines `COL=KIND`.
        flags: values by setting, such as `{"train.seed": 3}`; None: the option was not given.

    Raises:
        ConfigError: a setting does not exist, has an invalid value, or contradicts another one.
    """
    from afina.config import (
        apply_settings,
        change_settings,
        check_config,
        preset_config,
        read_config,
    )

    start = read_config(file, preset) if file else preset_config(preset or "default")
    config = apply_settings(start, settings or [])
    merged = config.table.kinds | dict(map(_split_kind, kinds or []))
    options = {name: value for name, value in flags.items() if value is not None}
    config = change_settings(config, {"table.kinds": merged, **options})
    check_config(config)
    return config


def check_loudness(*, quiet: bool, verbose: bool) -> None:
    """Refuse `-q` together with `-v`."""
    if quiet and verbose:
        raise ConfigError(
            "Only one of -q and -v can be given", but="both are", fix="Leave one out."
        )


def _split_kind(text: str) -> tuple[str, str]:
    column, equals, kind = text.rpartition("=")
    if not equals or not column:
        raise ConfigError(
            "--kind must have the form COL=KIND",
            got=repr(text),
            fix="For example: --kind zip=categorical.",
        )
    return column, kind
