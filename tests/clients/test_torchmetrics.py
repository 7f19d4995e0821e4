"""Scores of torchmetrics."""

from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

import afina


def test_a_functional_metric_is_a_score(torchmetrics: ModuleType) -> None:
    """It sees all validation rows, and can decide which weights are best."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 4, generator=generator)
    y = x[:, :3].argmax(1)
    functional = torchmetrics.functional

    def scores(outputs: Tensor, targets: Tensor, weights: Tensor) -> dict[str, float]:
        return {
            "accuracy": float(functional.accuracy(outputs, targets, "multiclass", num_classes=3)),
            "auroc": float(functional.auroc(outputs, targets, "multiclass", num_classes=3)),
        }

    model = nn.Linear(4, 3)
    trainer = afina.Trainer(
        model,
        loss=nn.CrossEntropyLoss(),
        lr=0.1,
        max_epochs=2,
        scores=scores,
        monitor="val/auroc",
        higher_is_better=True,
    )
    result = trainer.fit((x, y), (x, y))

    accuracy = float((trainer.predict(x).argmax(1) == y).float().mean())
    assert trainer.evaluate((x, y))["accuracy"] == pytest.approx(accuracy)
    assert result.stop.monitor == "val/auroc"
    assert result.stop.best > 0.8
