"""Reading a run folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from afina.errors import CheckpointError
from afina.report.run_files import read_run

Maker = Callable[..., Path]


def test_a_finished_run(make_run: Maker) -> None:
    """A run with scores and a stop record is finished."""
    run = read_run(make_run("binary"))
    assert run.finished
    assert run.stop is not None
    assert run.config["train"]["max_grad_norm"] == 1.0


def test_an_unfinished_run(make_run: Maker) -> None:
    """A run that was killed has no scores, but says what it was to learn."""
    run = read_run(make_run("unfinished"))
    assert not run.finished
    assert run.summary is None
    assert run.begun.target == "Status"


def test_scores_without_a_stop_are_not_the_end(make_run: Maker) -> None:
    """Without a stop record, in either file, a run is unfinished."""
    folder = make_run("binary")
    for name in ("metrics.jsonl", "summary.json"):
        text = (folder / name).read_text()
        lines = [line for line in text.splitlines() if '"kind": "stop"' not in line]
        (folder / name).write_text("\n".join(lines).replace('"stop": {', '"was": {'))
    assert not read_run(folder).finished


def test_what_is_no_run_folder_is_refused(tmp_path: Path) -> None:
    """Another folder, or none, is refused by name before anything else is read."""
    with pytest.raises(CheckpointError, match="has neither"):
        read_run(tmp_path)
    with pytest.raises(CheckpointError, match=r"nowhere is not a folder"):
        read_run(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["config.toml", "env.json", "schema.json", "split.json"])
def test_a_damaged_file_is_named(make_run: Maker, name: str) -> None:
    """Damage to any file of the run is an error that names the file."""
    folder = make_run("binary")
    (folder / name).write_text("{")
    with pytest.raises(CheckpointError, match=name):
        read_run(folder)
