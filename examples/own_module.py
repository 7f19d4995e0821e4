"""Train your own convolutional net on scikit-learn's bundled digits with `afina.Trainer`.

python examples/own_module.py
"""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import afina


def make_net() -> nn.Module:
    """Return a small network for 8 x 8 images in ten classes."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(32 * 4 * 4, 10),
    )


def accuracy(outputs: torch.Tensor, targets: torch.Tensor, _: None) -> dict[str, float]:
    return {"accuracy": (outputs.argmax(1) == targets).double().mean().item()}


def main() -> float:
    pictures, digits = load_digits(return_X_y=True)
    x = torch.tensor(pictures, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    y = torch.tensor(digits)
    train, rest = train_test_split(torch.arange(len(x)), test_size=0.4, random_state=0, stratify=y)
    val, test = rest[: len(rest) // 2], rest[len(rest) // 2 :]

    trainer = afina.Trainer(
        make_net(),
        loss=nn.CrossEntropyLoss(),
        lr=3e-3,
        weight_decay=1e-2,
        schedule="cosine",
        batch_size=64,
        microbatch_size=32,  # half the memory, the same steps
        max_epochs=12,
        patience=5,
        scores=accuracy,
        seed=0,
    )
    result = trainer.fit((x[train], y[train]), (x[val], y[val]))
    outputs = trainer.predict(x[test])
    score = accuracy(outputs, y[test], None)["accuracy"]
    print(f"stopped after epoch {result.stop.epoch}: {result.stop.why}")
    print(f"best epoch {result.stop.best_epoch}; accuracy on {len(test)} test rows: {score:.3f}")
    return score


if __name__ == "__main__":
    main()
