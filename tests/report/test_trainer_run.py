"""The report of a run that `afina.Trainer` made on a module."""

import html
import json
import re
from pathlib import Path

import pytest
import torch
from torch import nn

import afina
from afina.errors import CheckpointError
from afina.records.run_json import read_run_record
from afina.report import write_report

X = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


def scores(output, target, weight):
    """Return two scores."""
    hits = output.argmax(1) == target
    return {"acc": hits.double().mean(), "errors": (~hits).double().sum()}


def train(run: Path, *, val: bool = True, **settings) -> None:
    """Fit a linear layer for three epochs of four steps."""
    settings = {"max_epochs": 3, "batch_size": 16, "loss": nn.CrossEntropyLoss(), **settings}
    torch.manual_seed(0)
    trainer = afina.Trainer(nn.Linear(4, 2), scores=scores, run_dir=run, **settings)
    trainer.fit((X, Y), (X, Y) if val else None)


def text_of(page: Path) -> str:
    """Return what the page says, without its charts and styles."""
    text = re.sub(r"<(script|style)[\s\S]*?</\1>", "", page.read_text())
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def test_a_finished_run_is_called_finished(tmp_path):
    """The page says why training ended, and advises nothing that does not work on such a run."""
    train(tmp_path / "run")

    text = text_of(write_report(tmp_path / "run"))

    assert "max_epochs=3 was reached" in text
    assert "The module has the weights of step" in text
    assert "unfinished" not in text
    assert "has not ended" not in text
    assert not re.search(r"afina (resume|predict|evaluate)", text)
    assert f"afina report {tmp_path / 'run'}" in text


def test_every_validation_metric_has_its_curve_and_row(tmp_path):
    """Several scores make as many charts, each with an identifier of its own."""
    train(tmp_path / "run")

    page = write_report(tmp_path / "run")

    names = re.findall(r'id="(spec-[^"]+)"', page.read_text())
    assert names == ["spec-loss", "spec-score-0", "spec-score-1", "spec-lr", "spec-grad_norm"]
    text = text_of(page)
    assert "Validation acc by epoch" in text
    assert "Validation errors by epoch" in text
    assert re.search(r"val/acc [\d.]+ [\d.]+ val/errors [\d.]+ [\d.]+", text)


def test_clipping_is_told_as_it_was(tmp_path):
    """Only a run that clipped gradients shows the norm above which it did."""
    train(tmp_path / "free")
    records = map(json.loads, (tmp_path / "free" / "metrics.jsonl").read_text().splitlines())
    norms = [record["grad_norm"] for record in records if record["kind"] == "step"]
    train(tmp_path / "clipped", max_grad_norm=(norms[0] + min(norms)) / 2)

    assert "the gradient is clipped" not in text_of(write_report(tmp_path / "free"))
    assert "the gradient is clipped" in text_of(write_report(tmp_path / "clipped"))


def test_resume_on_the_command_line_says_where_to_continue(tmp_path):
    """`afina resume` rebuilds a table's run; a module's run is continued where its code is."""
    train(tmp_path / "run")

    with pytest.raises(CheckpointError, match=r"Trainer.*resume=True"):
        read_run_record(tmp_path / "run")


def test_without_validation_rows(tmp_path):
    """The final weights are named, and no table of metrics is shown."""
    train(tmp_path / "run", val=False)

    text = text_of(write_report(tmp_path / "run"))

    assert "There were no validation rows, so the module has the final weights." in text
    assert "Validation metrics" not in text


def test_an_interrupted_run_is_continued_in_python(tmp_path):
    """A run without its last record is not called finished; the advice is the Trainer's."""
    run = tmp_path / "it's a run"
    train(run)
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(line for line in lines if '"stop"' not in line))

    text = text_of(write_report(run))

    assert "This run has not ended" in text
    assert f"afina.Trainer(..., run_dir={str(run)!r}).fit(..., resume=True)" in text
    assert "afina resume" not in text


def test_a_damaged_checkpoint_costs_only_the_settings(tmp_path):
    """The page is written without settings if no checkpoint can be read."""
    train(tmp_path / "run")
    assert "lr = 0.001" in text_of(write_report(tmp_path / "run"))
    for path in (tmp_path / "run" / "checkpoints").glob("*/state.json"):
        path.write_text("{")

    text = text_of(write_report(tmp_path / "run"))

    assert "lr = 0.001" not in text
    assert "max_epochs=3 was reached" in text
