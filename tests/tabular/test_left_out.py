"""A member learns nothing from the rows that it leaves out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from afina.config import Config, ModelSettings, PreprocessSettings, TableSettings, TrainSettings
from afina.models import InputLayer
from afina.table import CategoryColumn, NumberColumn, NumberFormat, Schema
from afina.tabular.preparation.rows import Rows
from afina.tabular.training.plan import Plan, make_plan, train_model

N_FOLDS, N_MEMBERS, N_ROWS = 3, 6, 60
PLAIN = NumberFormat(".", "", "", "")
SCHEMA = Schema(
    (
        NumberColumn("a", "numeric", "why", number=PLAIN),
        NumberColumn("b", "numeric", "why", number=PLAIN),
        CategoryColumn("c", "categorical", "why", vocabulary=("x", "y", "z")),
    )
)


def config_of(*, categories: str = "onehot", **train: object) -> Config:
    """Return settings under which members share nothing that learns."""
    return Config(
        table=TableSettings(folds=N_FOLDS),
        preprocess=PreprocessSettings(categories=categories, min_count=1),
        model=ModelSettings(
            d_block=8,
            n_blocks=2,
            dropout=0.0,
            numeric_embedding=None,
            members=N_MEMBERS,
            members_differ="weights",
        ),
        train=TrainSettings(
            **{"max_epochs": 4, "batch_size": 16, "lr": 0.01, "max_grad_norm": None} | train
        ),
    )


def make_rows(n_classes: int, *, weighted: bool = False) -> Rows:
    """Make rows in folds; values of a numeric target are 1 and -1, half of each in each fold."""
    rng = np.random.default_rng(0)
    labels = np.arange(N_ROWS) // N_FOLDS % 2
    x_num = rng.normal(labels[:, None], 1, size=(N_ROWS, 2))
    return Rows(
        x_num=x_num,
        x_cat=rng.integers(2, 5, (N_ROWS, 1)),
        x_time=np.empty((N_ROWS, 0)),
        y=labels if n_classes else labels * 2.0 - 1.0,
        weights=rng.integers(1, 4, N_ROWS) * 1.0 if weighted else np.ones(N_ROWS),
        folds=np.arange(N_ROWS) % N_FOLDS,
    )


def other_answers(rows: Rows, fold: int) -> Rows:
    """Change every target of a fold, so that the mean and scale of all stay as they are."""
    y = 1 - rows.y if rows.y.dtype == np.int64 else -rows.y
    return replace(rows, y=np.where(rows.folds == fold, y, rows.y))


def trained(rows: Rows, config: Config, n_classes: int, *, fault: bool = False) -> list[Tensor]:
    """Train for all epochs; give all numbers of each member, one row a member."""
    plan = make_plan(rows, None, schema=SCHEMA, n_classes=n_classes, config=config)
    if fault:
        spoil(plan)
    train_model(plan)
    numbers = [value.flatten(1) for value in plan.built.model.network.body.state_dict().values()]
    assert sum(part.shape[1] for part in numbers) > 100
    return list(torch.cat(numbers, dim=1))


def spoil(plan: Plan) -> None:
    """Let each member learn from the rows that the one before it should learn from."""
    learning = plan.built.model.network.body.learning
    assert learning.shape == (N_FOLDS, N_MEMBERS - N_MEMBERS // N_FOLDS)
    learning.copy_((learning + 1) % N_MEMBERS)


def unmoved(fold: int, config: Config, n_classes: int = 2, **options: bool) -> list[int]:
    """List the members with the same bits after training on other targets of a fold."""
    fault = options.pop("fault", False)
    rows = make_rows(n_classes, **options)
    one = trained(rows, config, n_classes, fault=fault)
    two = trained(other_answers(rows, fold), config, n_classes, fault=fault)
    return [j for j in range(N_MEMBERS) if torch.equal(one[j], two[j])]


@pytest.mark.parametrize("categories", ["onehot", "embedding"])
@pytest.mark.parametrize("n_classes", [0, 2])
@pytest.mark.parametrize("fold", [0, 1, 2])
def test_targets_left_out_change_no_bit(fold: int, n_classes: int, categories: str) -> None:
    """With other targets in a fold, its members keep every bit, and all others change."""
    config = config_of(categories=categories)
    assert unmoved(fold, config, n_classes) == [2 * fold, 2 * fold + 1]


@pytest.mark.parametrize(
    "train",
    [
        {"optimizer": "sgd"},
        {"l2": 0.01},
        {"microbatch_size": 4},
        {"averaging": "ema"},
        {"averaging": "swa"},
        {"precision": "bf16"},
        {"label_smoothing": 0.1},
        {"schedule": "onecycle"},
        {"bias_lr_factor": 2.0},
    ],
)
def test_targets_left_out_change_no_bit_in_any_kind_of_training(train: dict[str, object]) -> None:
    """So it is whatever the update rule, the average or the arithmetic."""
    assert unmoved(1, config_of(**train)) == [2, 3]


@pytest.mark.parametrize("n_classes", [0, 2])
def test_weights_of_rows_change_nothing_in_it(n_classes: int) -> None:
    """With weights too, members keep every bit; of numbers, where the weighted mean stays."""
    config = config_of()
    if n_classes:
        assert unmoved(2, config, n_classes, weighted=True) == [4, 5]
        return
    rows = make_rows(0)
    twins = replace(rows, weights=1.0 + (np.arange(N_ROWS) // (2 * N_FOLDS)) % 3)
    one, two = (trained(some, config, 0) for some in (twins, other_answers(twins, 2)))
    assert [j for j in range(N_MEMBERS) if torch.equal(one[j], two[j])] == [4, 5]


@pytest.mark.parametrize("n_classes", [0, 2])
@pytest.mark.parametrize("fold", [0, 1, 2])
def test_a_wrong_table_of_members_is_seen(fold: int, n_classes: int) -> None:
    """Where each member learns from its neighbor's rows, the members of a fold do change."""
    assert not {2 * fold, 2 * fold + 1} <= set(unmoved(fold, config_of(), n_classes, fault=True))


def test_what_members_share_learns_from_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """One limit to all gradients, and embeddings that members share, let a trace through."""
    assert unmoved(1, config_of(max_grad_norm=1e-3)) == []

    by_member = InputLayer._by_member

    def shared(layer: InputLayer, encoded: Tensor, n_columns: int) -> Tensor:
        own = by_member(layer, encoded, n_columns)
        return own[:, :1].expand_as(own)

    monkeypatch.setattr(InputLayer, "_by_member", shared)
    assert unmoved(1, config_of(categories="embedding")) == []
