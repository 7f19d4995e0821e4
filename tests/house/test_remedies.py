"""Whatever a message tells the user to type exists: options, settings, commands and arguments.

The remedies are collected from the source: every `fix=` of an error, and every other text that names
an option. tests/cli/test_remedies.py tries the main ones.
"""

import ast
import inspect
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import typer
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

import afina
from afina.cli.main import app
from afina.config.names import places
from afina.table import read_table
from afina.tabular import Predictor, fit_table

if TYPE_CHECKING:
    from conftest import SourceFile

COMMANDS = typer.main.get_command(app).commands
# The commands whose user can meet a message, by the start of the file's name; the first that fits.
MET_BY = {
    "cli/evaluate": ["evaluate"],
    "cli/fit": ["fit"],
    "cli/inspect": ["inspect"],
    "cli/predict": ["predict"],
    "cli/write": ["predict"],
    "table/csv": ["fit", "inspect", "predict", "evaluate"],
    "table/read": ["fit", "inspect", "predict", "evaluate"],
    "table/names": ["fit", "inspect"],
    "table/infer": ["fit", "inspect"],
    "table/column_context": ["fit", "inspect"],
    "tabular/preparation/prepare": ["fit", "inspect"],
    "": ["fit"],
}
# What takes the arguments that a message names, by the start of the file's name.
TAKES = {
    "table/csv": [read_table, Predictor.predict_table, Predictor.evaluate_table],
    "table": [afina.AfinaClassifier, afina.AfinaRegressor],
    "tabular/preparation/prepare": [afina.AfinaClassifier, afina.AfinaRegressor],
    "tabular/run": [fit_table],
    "tabular/estimators": [afina.AfinaClassifier, afina.AfinaRegressor, afina.AfinaClassifier.fit],
    "tabular": [afina.AfinaClassifier, afina.AfinaRegressor],
    "train": [
        afina.Trainer,
        afina.Trainer.fit,
        afina.Trainer.predict,
        nn.Embedding,
        nn.CrossEntropyLoss,
        ReduceLROnPlateau,
    ],
}
OPTION = re.compile(r"(?<![\w-])(?<!xcode-select )--[a-z][a-z-]+")
SETTING = re.compile(rf"(?<![\w.`])({'|'.join(places())})\.([a-z_]\w+)\b(?!\()")
COMMAND = re.compile(r"\bafina ([a-z]+)\b(?= |`|…|$)")
ARGUMENT = re.compile(r"in Python: (\w+)=")
PASSED = re.compile(r"(?:Pass|Use|Leave) ([a-z_]+)=")


def text_of(node: ast.AST) -> str:
    """Return a text of the source, with an ellipsis for what is filled in."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(map(text_of, parts))
        case ast.BinOp(left=left, right=right):
            return text_of(left) + text_of(right)
        case ast.IfExp(body=body, orelse=other):
            return f"{text_of(body)} {text_of(other)}"
        case ast.BoolOp(values=values):
            return " ".join(map(text_of, values))
        case _:
            return "…"


def remedies(tree: ast.Module) -> Iterator[str]:
    """Return the texts of a file that a user may type from, without docstrings."""
    parts = {
        id(part)
        for node in ast.walk(tree)
        for part in ast.walk(node)
        if isinstance(node, ast.JoinedStr) and part is not node
    }
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "fix":
            yield text_of(node.value)
        elif isinstance(node, ast.Constant | ast.JoinedStr):
            text = text_of(node)
            if id(node) not in parts | docstrings and " " in text and OPTION.search(text):
                yield text


def options_of(command: str) -> set[str]:
    """Return the options of a command, as they are typed."""
    own = {option for parameter in COMMANDS[command].params for option in parameter.opts}
    return own | {"--help"}


def first_fit(table: dict[str, list], name: str) -> list:
    """Return the entry for a file."""
    return next((value for start, value in table.items() if name.startswith(start)), [])


def faults(name: str, text: str) -> Iterator[str]:
    """Return what a text names that does not exist where it is read."""
    for option in OPTION.findall(text):
        lacking = [c for c in first_fit(MET_BY, name) if option not in options_of(c)]
        yield from (f"{option} of afina {command}" for command in lacking)
    for section, key in SETTING.findall(text):
        if key not in places()[section] and key not in ("safetensors", "json"):  # files
            yield f"{section}.{key}"
    for command in COMMAND.findall(text):
        if command not in COMMANDS:
            yield f"afina {command}"
    for argument in ARGUMENT.findall(text) + PASSED.findall(text):
        takers = first_fit(TAKES, name)
        if not any(argument in inspect.signature(taker).parameters for taker in takers):
            yield f"{argument}= in Python"


def test_what_a_remedy_names_exists(source_files: "list[SourceFile]") -> None:
    """Every option, setting, command and argument that a message names is there for its reader."""
    collected = [(file.name, text) for file in source_files for text in remedies(file.tree)]
    found = {
        f"{name}: {text}": missing for name, text in collected if (missing := [*faults(name, text)])
    }

    assert len(collected) > 200
    assert found == {}


def test_an_option_has_its_python(source_files: "list[SourceFile]") -> None:
    """A remedy outside the command line that names an option names its Python as well."""
    without = [
        f"{file.name}: {text}"
        for file in source_files
        for text in remedies(file.tree)
        if file.name.startswith(("table/", "tabular/", "config/", "train/"))
        and OPTION.search(text)
        and "in Python: " not in text
    ]

    assert without == []


@pytest.mark.parametrize(
    ("name", "text", "missing"),
    [
        ("table/csv_file.py", "Add `--set table.encoding=x`.", []),
        ("table/csv_file.py", "Add `--kind a=numeric`.", ["--kind of afina predict"]),
        ("table/csv_file.py", "Add --set (in Python: encodin=...).", ["encodin= in Python"]),
        ("tabular/run/fit.py", "Add --overwrit.", ["--overwrit of afina fit"]),
        ("config/check.py", "Use train.optimiser = adamw.", ["train.optimiser"]),
        ("cli/fit.py", "Run `afina inspct`.", ["afina inspct"]),
        ("train/keywords.py", "Pass resum=True.", ["resum= in Python"]),
    ],
)
def test_a_wrong_remedy_is_seen(name: str, text: str, missing: list[str]) -> None:
    """A text that names what does not exist is found."""
    assert [fault for fault in faults(name, text) if "evaluate" not in fault] == missing


def test_remedies_are_collected() -> None:
    """A remedy is found in every form that the source has, a docstring is none."""
    tree = ast.parse(
        "'See --doc here.'\nraise E('a', fix='b' if c else f'd {e}')\nwarn(f'Use {x} --ff.')"
    )

    assert sorted(remedies(tree)) == ["Use … --ff.", "b d …"]
