"""Scores of torchmetrics: its objects, unchanged, and its functions."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import afina
from afina.train import EvalEvent, Result

X = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
Y = X[:, :3].argmax(1)


def fit(scores: Any, **settings: Any) -> tuple[Result, afina.Trainer]:
    """Train a linear classifier, which is evaluated 64 rows at a time."""
    torch.manual_seed(0)
    resume = settings.pop("resume", False)
    arguments = {"lr": 0.1, "max_epochs": 2, "eval_batch_size": 64} | settings
    trainer = afina.Trainer(nn.Linear(4, 3), loss=nn.CrossEntropyLoss(), scores=scores, **arguments)
    return trainer.fit((X, Y), (X, Y), resume=resume), trainer


def objects(torchmetrics: ModuleType) -> dict[str, Any]:
    """Return an accuracy and an area under the curve, which is no mean of batches."""
    classification = torchmetrics.classification
    return {
        "accuracy": classification.MulticlassAccuracy(3, average="micro"),
        "auroc": classification.MulticlassAUROC(3),
    }


def functional_scores(torchmetrics: ModuleType):
    """Return a function of all validation rows."""
    functional = torchmetrics.functional

    def scores(outputs: Tensor, targets: Tensor, weights: Tensor | None) -> dict[str, float]:
        return {
            "accuracy": float(functional.accuracy(outputs, targets, "multiclass", num_classes=3)),
            "auroc": float(functional.auroc(outputs, targets, "multiclass", num_classes=3)),
        }

    return scores


def test_a_functional_metric_is_a_score(torchmetrics: ModuleType) -> None:
    """It sees all validation rows, and can decide which weights are best."""
    result, trainer = fit(
        functional_scores(torchmetrics), monitor="val/auroc", higher_is_better=True
    )

    accuracy = float((trainer.predict(X).argmax(1) == Y).float().mean())
    assert trainer.evaluate((X, Y))["accuracy"] == pytest.approx(accuracy)
    assert result.stop.monitor == "val/auroc"
    assert result.stop.best > 0.8


@pytest.mark.parametrize("form", ["mapping", "collection"])
def test_objects_have_the_values_of_the_functions(torchmetrics: ModuleType, form: str) -> None:
    """Batch by batch they come to the scores of all rows, in every evaluation anew."""
    scores = objects(torchmetrics)
    if form == "collection":
        scores = torchmetrics.MetricCollection(scores)
    by_objects, _ = fit(scores)
    by_functions, _ = fit(functional_scores(torchmetrics))

    ours, theirs = (
        [event.metrics for event in result.history if isinstance(event, EvalEvent)]
        for result in (by_objects, by_functions)
    )
    assert len(ours) == 2
    for one, other in zip(ours, theirs, strict=True):
        assert one == pytest.approx(other, abs=1e-6)


def test_a_fit_with_objects_is_resumed(torchmetrics: ModuleType, tmp_path: Path) -> None:
    """A resumed run has the scores of the uninterrupted one."""
    settings = {"monitor": "val/auroc", "higher_is_better": True}
    fit(objects(torchmetrics), max_epochs=1, run_dir=tmp_path / "run", **settings)
    scores = objects(torchmetrics)
    resumed, _ = fit(scores, run_dir=tmp_path / "run", resume=True, **settings)
    whole, _ = fit(objects(torchmetrics), **settings)

    assert resumed.stop == whole.stop
