"""Data on stdout."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from afina.cli.streams import emit_json, printable


def test_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON carries its schema's version; what is not finite is null; letters stay letters."""
    emit_json({"a": float("nan"), "b": [1.5, float("inf")], "c": {"é": (1, None)}})

    text = capsys.readouterr().out
    expected = {"schema_version": 1, "a": None, "b": [1.5, None], "c": {"é": [1, None]}}
    assert expected == json.loads(text)
    assert "é" in text


def test_printable() -> None:
    """Letters of all scripts stay; what steers a terminal is shown."""
    assert printable("naïve 列 🙂\n") == "naïve 列 🙂\n"
    assert printable("\x1b]0;x\x07\t\r") == "\\x1b]0;x\\x07\\t\\r"


@pytest.mark.skipif(sys.platform == "win32", reason="the shell closes the streams")
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_opened(closed: str, tmp_path: Path) -> None:
    """With closed streams a command works, and what it prints gets into no file that it opens."""
    script = (
        "import os, sys; from afina.cli.streams import open_closed_streams; open_closed_streams();"
        "kept = open('kept', 'w'); [os.fstat(n) for n in (0, 1, 2)];"
        "sys.stdout.write('data'); sys.stderr.write('note'); os.write(2, b'library');"
        "sys.exit(0 if kept.fileno() > 2 else 9)"
    )
    command = f'"{sys.executable}" -c "{script}" {closed}'
    done = subprocess.run(command, shell=True, cwd=tmp_path, check=False, capture_output=True)  # noqa: S602

    assert done.returncode == 0
    assert (tmp_path / "kept").read_bytes() == b""
    (tmp_path / "cars.csv").write_text("size,price\n1,2\n3,4\n", encoding="utf-8")
    command = f'"{sys.executable}" -m afina inspect cars.csv {closed}'
    done = subprocess.run(command, shell=True, cwd=tmp_path, check=False, capture_output=True)  # noqa: S602
    assert done.returncode == 0
