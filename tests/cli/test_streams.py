"""Data on stdout."""

import json

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
