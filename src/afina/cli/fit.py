"""afina fit: train on a table."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from afina.cli.options import (
    AsJson,
    ConfigFile,
    Debug,
    Kinds,
    Overwrite,
    Quiet,
    Settings,
    Verbose,
    check_loudness,
    make_config,
)
from afina.cli.process import BEGAN
from afina.errors import ConfigError

if TYPE_CHECKING:
    from afina.cli.console import Stderr
    from afina.config import Config


def fit(
    table: Annotated[
        Path | None,
        typer.Argument(
            metavar="TABLE",
            show_default=False,
            help="A table: .csv, .tsv (also .gz), .parquet, .feather or .arrow. "
            "Default: a small table of loans that comes with afina.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="COL", show_default=False, help="The column to predict."),
    ] = None,
    config: ConfigFile = None,
    settings: Settings = None,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default=False,
            help="A recipe: fast, default, best, or plain (one multilayer perceptron).",
        ),
    ] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            show_default=False,
            help="Stop in time to finish within this many seconds, report included: stop.time_limit.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N", show_default=False, help="The same seed gives the same model: train.seed."
        ),
    ] = None,
    lr: Annotated[
        str | None,
        typer.Option(
            metavar="LR",
            show_default=False,
            help="Learning rate, or find for a range test before training: train.lr.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", show_default=False, help="The run folder; by default runs/TIME-TABLE."
        ),
    ] = None,
    overwrite: Overwrite = False,
    kinds: Kinds = None,
    val: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default=False, help="A table of validation rows."),
    ] = None,
    val_frac: Annotated[
        float | None,
        typer.Option(
            metavar="F", show_default=False, help="Share of validation rows: table.val_frac."
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="COL",
            show_default=False,
            help="Keep rows with the same value on one side of the split: table.group.",
        ),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(
            metavar="COL", show_default=False, help="Validate on the latest rows: table.time."
        ),
    ] = None,
    weight: Annotated[
        str | None,
        typer.Option(
            metavar="COL", show_default=False, help="The weight of each row: table.weight."
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    _debug: Debug = False,
) -> None:
    """Train a network on a table.

    Shows how good it is next to a baseline, and prints the run folder's path. --set wins over --config, and every other
    option over --set.
    """
    check_loudness(quiet=quiet, verbose=verbose)
    _check_split(val=val, val_frac=val_frac, group=group, time=time)
    flags = {
        "stop.time_limit": time_limit,
        "train.seed": seed,
        "train.lr": lr if lr is None or lr == "find" else _number(lr),
        "table.val_frac": val_frac,
        "table.group": group,
        "table.time": time,
        "table.weight": weight,
    }
    settled = make_config(file=config, settings=settings, preset=preset, kinds=kinds, flags=flags)
    if table is not None and target is None:
        raise _no_target(table, settled)

    from afina.cli.console import open_stderr

    stderr = open_stderr(quiet=quiet, verbose=verbose)
    _run(
        stderr,
        settled,
        table=table,
        target=target,
        val=val,
        out=out,
        overwrite=overwrite,
        as_json=as_json,
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
) -> None:
    from afina.cli.fit_messages import FitMessages
    from afina.cli.results import finish
    from afina.config import to_toml
    from afina.tabular import fit_table

    if stderr.verbose:
        stderr.detail(to_toml(config))
    with FitMessages(stderr, monitor=config.stop.monitor) as messages:
        outcome = fit_table(
            table,
            target=target,
            config=config,
            val=val,
            out=out,
            overwrite=overwrite,
            listen=messages,
            started=BEGAN,
        )
    finish(stderr, outcome, as_json=as_json)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError("--lr must be a number or find", got=repr(text)) from None


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
    """Return an error that names the columns that could be the target."""
    from afina.table import read_table

    columns = read_table(
        table, delimiter=config.table.delimiter, encoding=config.table.encoding
    ).column_names
    shown = ", ".join(columns[:20]) + (
        f" and {len(columns) - 20:,} more" if len(columns) > 20 else ""
    )
    return ConfigError(
        "--target must name the column to predict",
        but="it is not given",
        fix=f"The columns of {table} are: {shown}.",
    )
