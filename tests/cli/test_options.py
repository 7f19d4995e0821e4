"""Options become settings."""

from pathlib import Path

import pytest

from afina.cli.options import make_config
from afina.errors import ConfigError


def test_order(tmp_path: Path) -> None:
    """An option of its own wins over --set, and --set over the file."""
    file = tmp_path / "c.toml"
    file.write_text(
        "[train]\nseed = 1\nlr = 1.0\nl2 = 1.0\n[table.kinds]\na = 'text'\nb = 'text'\n"
    )

    config = make_config(
        file=file,
        settings=["train.seed=2", "train.lr=2"],
        kinds=["a=numeric"],
        flags={"train.seed": 3, "table.group": None},
    )

    assert (3, 2.0, 1.0) == (config.train.seed, config.train.lr, config.train.l2)
    assert {"a": "numeric", "b": "text"} == config.table.kinds


@pytest.mark.parametrize("column", ["a=b", "none", 'q"uo\\te', "x.y", " ", "列", "tab\t", "1"])
def test_odd_columns(column: str) -> None:
    """A column may have any name."""
    config = make_config(
        file=None, settings=None, kinds=[f"{column}=text"], flags={"table.group": column}
    )

    assert {column: "text"} == config.table.kinds
    assert column == config.table.group


@pytest.mark.parametrize("kind", ["a", "=numeric", ""])
def test_wrong_kinds(kind: str) -> None:
    """A kind without a column is refused."""
    with pytest.raises(ConfigError, match="must have the form COL=KIND"):
        make_config(file=None, settings=None, kinds=[kind], flags={})
