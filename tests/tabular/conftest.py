"""Small tables of every kind of column, and settings that train on them in a second."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from afina.config import Config, ModelSettings, PreprocessSettings, TableSettings, TrainSettings
from afina.report import page

COLORS = ("red", "green", "blue", "grey", "NA")


def make_columns(n_rows: int, seed: int = 0) -> dict[str, list[str]]:
    """Make a table's cells as text: numbers, gaps, categories, booleans, dates, two targets."""
    rng = np.random.default_rng(seed)
    size = rng.normal(50, 20, n_rows)
    color = rng.choice(COLORS, n_rows)
    sunny = rng.random(n_rows) < 0.5
    day = rng.integers(0, 700, n_rows)
    price = 3 * size + 40 * (color == "red") - 30 * sunny + rng.normal(0, 5, n_rows)
    kind = np.where(price > 160, "dear", np.where(price > 110, "fair", "cheap"))
    gap = rng.random(n_rows) < 0.1
    days = np.datetime64("2022-01-01") + day.astype("timedelta64[D]")
    return {
        "size": ["" if gap[i] else f"{size[i]:.3f}" for i in range(n_rows)],
        "color": color.tolist(),
        "sunny": np.where(sunny, "true", "false").tolist(),
        "day": days.astype(str).tolist(),
        "code": [f"{number:05d}" for number in rng.integers(0, 30, n_rows)],
        "price": [f"{value:.2f}" for value in price],
        "kind": kind.tolist(),
    }


def write_csv(path: Path, columns: dict[str, list[str]]) -> Path:
    """Write a table as CSV, cells as they stand."""
    lines = [",".join(columns), *map(",".join, zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def without(columns: dict[str, list[str]], *names: str) -> dict[str, list[str]]:
    """Leave columns out."""
    return {name: cells for name, cells in columns.items() if name not in names}


def reorder(columns: dict[str, list[str]], order: np.ndarray) -> dict[str, list[str]]:
    """Take rows in another order, or some of them."""
    return {name: [cells[i] for i in order] for name, cells in columns.items()}


def quick_config(**table: object) -> Config:
    """Return settings that train one small network for few epochs, and hold rows out."""
    return Config(
        table=TableSettings(**{"folds": 1, **table}),
        preprocess=PreprocessSettings(onehot_max=16),
        model=ModelSettings(d_block=16, n_blocks=1, members=1, numeric_embedding=None),
        train=TrainSettings(max_epochs=4, batch_size=16, lr=0.01),
    )


@pytest.fixture
def reports() -> None:
    """Ask for this where the report matters."""


@pytest.fixture(autouse=True)
def _no_report(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the report out, which takes longer than a small fit and has tests of its own."""
    if "reports" not in request.fixturenames:
        monkeypatch.setattr(page, "write_report", lambda run: run)


@pytest.fixture
def tables() -> SimpleNamespace:
    """Return the functions of this file: tests cannot import a conftest."""
    return SimpleNamespace(
        make=make_columns,
        write=write_csv,
        without=without,
        reorder=reorder,
        config=quick_config,
    )


@pytest.fixture
def kinds_csv(tmp_path: Path) -> Path:
    """Return a table whose target `kind` has three classes; `price` is left out."""
    return write_csv(tmp_path / "kinds.csv", without(make_columns(120), "price"))


@pytest.fixture
def prices_csv(tmp_path: Path) -> Path:
    """Return a table whose target `price` is a number; `kind` is left out."""
    return write_csv(tmp_path / "prices.csv", without(make_columns(120), "kind"))
