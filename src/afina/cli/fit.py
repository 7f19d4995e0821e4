"""afina fit: train a network on a table."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from afina.cli.fit_options import (
    ClassWeights,
    FitTable,
    Group,
    LearningRate,
    Metric,
    Preset,
    RunFolder,
    Seed,
    Target,
    Time,
    TimeLimit,
    ValFrac,
    ValTable,
    Weight,
)
from afina.cli.options import (
    AsJson,
    ConfigFile,
    Debug,
    Kinds,
    Overwrite,
    Quiet,
    Settings,
    Switches,
    Task,
    Verbose,
    check_loudness,
    make_config,
)
from afina.errors import ConfigError

if TYPE_CHECKING:
    from afina.cli.console import Stderr
    from afina.config import Config


def fit(
    context: typer.Context,
    table: FitTable = None,
    target: Target = None,
    task: Task = None,
    metric: Metric = None,
    class_weight: ClassWeights = None,
    config: ConfigFile = None,
    settings: Settings = None,
    preset: Preset = None,
    time_limit: TimeLimit = None,
    seed: Seed = None,
    lr: LearningRate = None,
    out: RunFolder = None,
    overwrite: Overwrite = False,
    kinds: Kinds = None,
    val: ValTable = None,
    val_frac: ValFrac = None,
    group: Group = None,
    time: Time = None,
    weight: Weight = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    _debug: Debug = False,
) -> None:
    """Train a network on a table.

    Shows the model's score next to a baseline's, and prints the path of the run folder. --set overrides --config, and
    every other option overrides --set.
    """
    check_loudness(quiet=quiet, verbose=verbose)
    _check_split(val=val, val_frac=val_frac, group=group, time=time)
    flags = {
        "table.task": task,
        "table.class_weight": _class_weight(class_weight or []),
        "stop.metric": metric,
        "stop.time_limit": time_limit,
        "train.seed": seed,
        "train.lr": lr if lr is None or lr == "find" else _number(lr),
        "table.val_frac": val_frac,
        "table.group": group,
        "table.time": time,
        "table.weight": weight,
    }
    settled = make_config(file=config, settings=settings, preset=preset, kinds=kinds, flags=flags)
    column = _one_target(target or [])
    if table is not None and column is None:
        raise _no_target(table, settled)

    from afina.cli.console import open_stderr

    stderr = open_stderr(quiet=quiet, verbose=verbose)
    _run(
        stderr,
        settled,
        table=table,
        target=column,
        val=val,
        out=out,
        overwrite=overwrite,
        as_json=as_json,
        started=context.ensure_object(Switches).started,
    )


def _run(
    stderr: "Stderr",
    config: "Config",
    *,
    table: Path | None,
    target: str | None,
    val: Path | None,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
    started: float,
) -> None:
    from afina.cli.fit_messages import FitMessages
    from afina.cli.results import finish
    from afina.config import to_toml
    from afina.tabular import fit_table

    stderr.detail(to_toml(config))
    with closing(FitMessages(stderr, monitor=config.stop.watched)) as messages:
        outcome = fit_table(
            table,
            target=target,
            config=config,
            val=val,
            out=out,
            overwrite=overwrite,
            listen=messages,
            started=started,
        )
    finish(stderr, outcome, as_json=as_json, started=started)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(
            "--lr must be a number or find", got=repr(text), fix="For example: --lr 0.01."
        ) from None


def _one_target(targets: list[str]) -> str | None:
    if len(targets) > 1:
        raise ConfigError(
            "--target must name one column, because a model predicts one target",
            got=", ".join(map(repr, targets)),
            fix="Fit a model for each, and leave the other target out of its features: --kind "
            f"{targets[1]}=ignored.",
        )
    return targets[0] if targets else None


def _class_weight(options: list[str]) -> dict[str, float] | str | None:
    """Read `balanced`, or lines LABEL=WEIGHT."""
    if options in ([], ["balanced"]):
        return options[0] if options else None
    weights: dict[str, float] = {}
    for text in options:
        label, equals, weight = text.rpartition("=")
        try:
            value = float(weight)
        except ValueError:
            equals = ""
        if not equals:
            from afina.declaration import suggest_choice

            raise ConfigError(
                "--class-weight must be LABEL=WEIGHT, or balanced",
                got=repr(text),
                fix=suggest_choice(text, ["balanced"]) or "For example: --class-weight yes=5.",
            )
        if label in weights:
            raise ConfigError(
                "--class-weight must give each label one weight",
                but=f"{label!r} has two weights",
                fix="Leave one out.",
            )
        weights[label] = value
    return weights


def _check_split(
    *, val: Path | None, val_frac: float | None, group: str | None, time: str | None
) -> None:
    options = {"--val": val, "--group": group, "--time": time}
    names = [name for name, value in options.items() if value is not None]
    if val is not None and val_frac is not None:
        names = ["--val", "--val-frac"]
    if len(names) > 1:
        raise ConfigError(
            "Only one option can decide the split",
            but=f"{names[0]} and {names[1]} are given",
            fix="Leave one out.",
        )


def _no_target(table: Path, config: "Config") -> ConfigError:
    """Return an error that lists the columns that could be the target."""
    from afina.table import read_table, table_name

    columns = read_table(
        table, delimiter=config.table.delimiter, encoding=config.table.encoding
    ).column_names
    shown = ", ".join(columns[:20]) + (
        f" and {len(columns) - 20:,} more" if len(columns) > 20 else ""
    )
    return ConfigError(
        "--target must name the column to predict",
        but="the option is missing",
        fix=f"The columns of {table_name(table)} are: {shown}.",
    )
