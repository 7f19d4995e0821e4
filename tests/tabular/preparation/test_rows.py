from dataclasses import fields, replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from afina.tabular.preparation.rows import Rows, merge_identical, part_heavy

VALUES = st.sampled_from([0.0, -0.0, 1.0, -1.5, float("nan"), 1e300])
WEIGHTS = st.sampled_from([1.0, 2.0, 0.1, 0.7, 3.0, 1e-9, 1e9])


@st.composite
def some_rows(draw: st.DrawFn) -> Rows:
    n = draw(st.integers(1, 12))
    folds = draw(st.none() | hnp.arrays(np.int64, n, elements=st.integers(0, 2)))
    return Rows(
        x_num=draw(hnp.arrays(np.float64, (n, 2), elements=VALUES)),
        x_cat=draw(hnp.arrays(np.int64, (n, 1), elements=st.integers(0, 2))),
        x_time=draw(hnp.arrays(np.float64, (n, 1), elements=VALUES)),
        y=draw(hnp.arrays(np.int64, n, elements=st.integers(0, 1))),
        weights=draw(hnp.arrays(np.float64, n, elements=WEIGHTS)),
        folds=folds,
    )


def pick(rows: Rows, index: np.ndarray) -> Rows:
    parts = {field.name: getattr(rows, field.name) for field in fields(rows)}
    return Rows(**{name: None if part is None else part[index] for name, part in parts.items()})


def as_bytes(rows: Rows) -> list[bytes]:
    parts = [rows.x_num + 0.0, rows.x_cat, rows.x_time + 0.0, rows.y, rows.weights]
    folds = [] if rows.folds is None else [rows.folds]
    return [part.tobytes() for part in parts + folds]


@settings(max_examples=60, deadline=None)
@given(some_rows(), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_no_byte(rows, random):
    """Rows in any order are taken together to the same bytes."""
    order = np.array(random.sample(range(len(rows)), len(rows)))
    assert as_bytes(merge_identical(pick(rows, order))) == as_bytes(merge_identical(rows))


@settings(max_examples=60, deadline=None)
@given(some_rows())
def test_a_weight_of_two_is_the_row_twice(rows):
    """Rows with weight 2 and the same rows twice are taken together to the same bytes."""
    ones = replace(rows, weights=np.ones(len(rows)))
    twos = replace(rows, weights=np.full(len(rows), 2.0))
    twice = pick(ones, np.repeat(np.arange(len(rows)), 2))
    assert as_bytes(merge_identical(twos)) == as_bytes(merge_identical(twice))


@settings(max_examples=60, deadline=None)
@given(some_rows())
def test_the_whole_weight_is_kept_and_no_row_is_left_twice(rows):
    """Taking together keeps the total weight, and taking together again changes nothing."""
    merged = merge_identical(rows)
    assert np.isclose(merged.weights.sum(), rows.weights.sum(), rtol=1e-12)
    assert as_bytes(merge_identical(merged)) == as_bytes(merged)


def test_rows_without_any_feature_differ_by_target_only():
    """With no columns at all, rows of one target are one row."""
    none = np.empty((4, 0))
    merged = merge_identical(
        Rows(none, none.astype(np.int64), none, np.array([1, 0, 1, 1]), np.ones(4))
    )
    assert merged.y.tolist() == [0, 1]
    assert merged.weights.tolist() == [1.0, 3.0]


@settings(max_examples=60, deadline=None)
@given(some_rows())
def test_rows_of_two_folds_stay_two(rows):
    """Equal rows are one row in each fold, of the weight that they have there."""
    without = replace(rows, folds=None)
    merged = merge_identical(rows)
    if rows.folds is None:
        assert merged.folds is None
        return
    for fold in range(3):
        mine, found = (np.flatnonzero(some.folds == fold) for some in (rows, merged))
        alone = merge_identical(pick(without, mine)) if len(mine) else pick(without, mine)
        assert as_bytes(pick(replace(merged, folds=None), found)) == as_bytes(alone)


@settings(max_examples=100, deadline=None)
@given(some_rows(), st.integers(0, 2000))
def test_parts_are_the_row(rows, repeats):
    """Parts have their row's values and whole weight, are even, and not many more than rows."""
    heavy = replace(rows, weights=rows.weights + repeats * (np.arange(len(rows)) == 0))
    merged = merge_identical(heavy)
    parted = part_heavy(merged)
    again = merge_identical(parted)

    assert np.allclose(again.weights, merged.weights, rtol=1e-9)
    assert as_bytes(replace(again, weights=merged.weights)) == as_bytes(merged)
    assert len(merged) <= len(parted) <= len(merged) + max(len(merged), 1000)
    most = max(merged.weights.sum() / max(len(merged), 1000), merged.weights.min())
    assert parted.weights.max() <= most * (1 + 1e-6)


@settings(max_examples=60, deadline=None)
@given(some_rows())
def test_parts_of_a_weight_of_two_are_those_of_the_row_twice(rows):
    """What is parted goes by weights alone, so repeated and weighted rows give the same bytes."""
    ones = replace(rows, weights=np.arange(len(rows)) + 1.0)
    twos = replace(rows, weights=2 * ones.weights)
    twice = pick(ones, np.repeat(np.arange(len(rows)), 2))
    parted = part_heavy(merge_identical(twos))
    assert as_bytes(parted) == as_bytes(part_heavy(merge_identical(twice)))
    assert len(parted) == len(part_heavy(merge_identical(ones)))


def test_rows_of_one_weight_are_not_parted():
    """Rows that weigh alike stay as they are, few or many, whatever they weigh."""
    for n, weight in ((3, 1.0), (3, 1e-9), (2000, 7.0)):
        none = np.empty((n, 0))
        x = np.arange(n, dtype=float)[:, None]
        rows = Rows(x, none.astype(np.int64), none, np.zeros(n), np.full(n, weight))
        assert as_bytes(part_heavy(rows)) == as_bytes(rows)
