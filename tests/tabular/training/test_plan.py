import numpy as np
import pytest
import torch

from afina.config import apply_settings
from afina.table import NumberColumn, NumberFormat, Schema
from afina.tabular.preparation.rows import Rows, merge_identical
from afina.tabular.training.plan import (
    as_data,
    make_plan,
    train_model,
)
from afina.tabular.training.resolve import choose_batch_size, choose_threads
from afina.tabular.training.target_scale import target_scale

PLAIN = NumberFormat(".", "", "", "")
SCHEMA = Schema(
    (
        NumberColumn("a", "numeric", "why", number=PLAIN),
        NumberColumn("b", "numeric", "why", number=PLAIN),
    )
)


def some_rows(n: int, n_classes: int, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    none = np.empty((n, 0))
    y = (x[:, 0] > 0).astype(np.int64) if n_classes else 1e6 + 1e3 * x[:, 0]
    return Rows(x, none.astype(np.int64), none, y, np.ones(n))


def plan_for(tables, n_classes: int, *settings: str):
    config = apply_settings(tables.config(), list(settings))
    return make_plan(
        some_rows(60, n_classes),
        some_rows(30, n_classes, 1),
        schema=SCHEMA,
        n_classes=n_classes,
        config=config,
    ), config


def test_targets_are_standardized(tables):
    """The trainer sees a regression target of mean 0 and deviation 1."""
    plan, _ = plan_for(tables, 0)
    y = plan.train[1].double()

    assert y.shape == (60, 1)
    assert abs(y.mean()) < 1e-6
    assert float((y**2).mean().sqrt()) == pytest.approx(1, rel=1e-6)


def test_outputs_are_in_the_targets_units(tables):
    """What the module gives is the network's output, put back."""
    plan, _ = plan_for(tables, 0, "train.max_epochs=30")
    train_model(plan)
    rows = some_rows(60, 0)
    with torch.no_grad():
        found = plan.built.model.eval()(
            *map(torch.from_numpy, (rows.x_num, rows.x_cat, rows.x_time))
        )

    assert found.dtype == torch.float64
    assert np.sqrt(np.mean((found.numpy() - rows.y) ** 2)) < 500


@pytest.mark.parametrize("n_classes", [0, 2])
def test_the_scores_while_training_are_those_of_the_answers(tables, n_classes):
    """The best evaluation's scores are those of the module that training ends on."""
    from afina.tabular.probabilities import to_predictions
    from afina.tabular.scoring import score

    plan, _ = plan_for(tables, n_classes)
    told = []
    result = train_model(plan, listen=told.append)
    best = next(
        event.metrics
        for event in told
        if type(event).__name__ == "EvalEvent" and event.step == result.stop.best_step
    )
    val = merge_identical(some_rows(30, n_classes, 1))
    with torch.no_grad():
        outputs = plan.built.model.eval()(
            *map(torch.from_numpy, (val.x_num, val.x_cat, val.x_time))
        )
    wanted = score(to_predictions(outputs.double().numpy(), n_classes), val.y, None)

    for name, value in wanted.items():
        assert best[f"val/{name}"] == pytest.approx(value, rel=1e-4)


def test_equal_rows_weigh_together(tables):
    """The trainer gets distinct rows with weights of mean 1, and none is heavier than that."""
    rows = some_rows(1200, 2)
    many = np.concatenate([np.arange(1200), np.repeat(np.arange(60), 3), np.full(20, 61)])
    parts = (rows.x_num, rows.x_cat, rows.x_time, rows.y, rows.weights)
    repeated = Rows(*(part[many] for part in parts))
    plan = make_plan(repeated, None, schema=SCHEMA, n_classes=2, config=tables.config())
    weights = plan.train[2]
    mean = 1400 / 1200  # rows of a distinct one

    assert len(weights) == 1139 + 60 * 4 + 18  # 4 rows in 4 parts, 21 in 18
    assert float(weights.mean()) == pytest.approx(1)
    assert sorted(set((weights / weights.min()).tolist())) == pytest.approx([1, 21 / 18])
    assert 21 / 18 <= mean


def test_batches_grow_with_the_rows():
    """`auto` gives larger steps for more rows, and never fewer rows a step."""
    sizes = [
        choose_batch_size(n) for n in (1, 2_000, 2_001, 10_000, 30_000, 100_000, 300_000, 10**7)
    ]

    assert sizes == sorted(sizes)
    assert sizes[0] == 32
    assert sizes[-1] == 1024


def test_small_steps_use_one_thread():
    """`auto` is one thread unless a step is large."""
    assert choose_threads(64 * 200_000) == 1
    assert 1 <= choose_threads(1024 * 10**7) <= 4


def test_auto_batches_are_no_smaller_than_microbatches(tables):
    """With `auto`, a microbatch size above what it would choose raises it."""
    plan, _ = plan_for(tables, 2, "train.batch_size=auto", "train.microbatch_size=80")

    assert plan.batch_size == 80


@pytest.mark.parametrize("unit", [1e-200, 1.0, 1e200])
def test_the_target_scale_of_any_magnitude(unit):
    """Mean and deviation of huge and tiny targets do not overflow or vanish."""
    mean, scale = target_scale(np.array([1.0, 3.0]) * unit, np.array([3.0, 1.0]))

    assert mean == pytest.approx(1.5 * unit)
    assert scale == pytest.approx(np.sqrt(0.75) * unit)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e300, -7.0])
def test_a_constant_target_has_scale_one(value):
    """A target that does not vary is divided by 1."""
    mean, scale = target_scale(np.full(7, value), np.linspace(1, 2, 7))

    assert mean == pytest.approx(value)
    assert scale == 1.0


def test_preprocessing_is_exact_for_large_numbers(tables):
    """Nanosecond timestamps keep their differences on the way to the network."""
    rows = some_rows(60, 2)
    large = Rows(rows.x_num * 1e9 + 1.7e18, rows.x_cat, rows.x_time, rows.y, rows.weights)
    plain, _ = plan_for(tables, 2, "preprocess.scaling=standard")
    plan = make_plan(
        large,
        None,
        schema=SCHEMA,
        n_classes=2,
        config=apply_settings(tables.config(), ["preprocess.scaling=standard"]),
    )
    small = as_data(plain.built.model, merge_identical(rows))[0][0]
    found = as_data(plan.built.model, merge_identical(large))[0][0]

    assert torch.allclose(small.sort(dim=0)[0], found.sort(dim=0)[0], atol=1e-5)


def test_a_learning_rate_can_be_found(tables):
    """`lr = "find"` takes what a range test suggests, and leaves the network as it was."""
    plain, _ = plan_for(tables, 2, "train.lr=0.5")
    found, _ = plan_for(tables, 2, "train.lr=find")

    assert plain.lr == 0.5
    assert plain.notes == ()
    assert 1e-6 < found.lr < 0.5
    assert "range test" in found.notes[0]
    states = [plan.built.model.state_dict() for plan in (plain, found)]
    assert all(torch.equal(states[0][name], value) for name, value in states[1].items())
