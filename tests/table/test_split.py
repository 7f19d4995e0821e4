"""The split: distinct rows, whole groups or the latest rows; never a row on both sides."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.errors import SchemaError
from afina.table import Split, assign_folds, count_units, row_ids, split_rows, to_table

IDS = st.lists(st.integers(0, 12), min_size=1, max_size=60)


def ranked(values: list[int]) -> np.ndarray:
    """Number values by first occurrence."""
    numbers: dict[int, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values])


def sides(split: Split) -> tuple[list[int], list[int]]:
    """Return the rows of both sides."""
    return split.train.tolist(), split.val.tolist()


def side_of(split: Split, n_rows: int) -> np.ndarray:
    """Tell for each row whether it is held out."""
    side = np.full(n_rows, -1)
    side[split.train], side[split.val] = 0, 1
    assert (side >= 0).all()
    assert len(split.train) + len(split.val) == n_rows
    return side


@given(values=IDS, seed=st.integers(0, 9), frac=st.floats(0.01, 0.99))
def test_sides(values: list[int], seed: int, frac: float) -> None:
    """Every row is on one side, equal rows on the same, and no side is empty."""
    ids = ranked(values)
    if ids.max() == 0:
        with pytest.raises(SchemaError, match="at least two distinct rows"):
            split_rows(ids, val_frac=frac, seed=seed)
        return
    split = split_rows(ids, val_frac=frac, seed=seed)
    side = side_of(split, len(ids))

    assert 0 < side.sum() < len(ids)
    assert (np.diff(split.train) > 0).all()
    assert (np.diff(split.val) > 0).all()
    n_units = ids.max() + 1
    held_out = len({int(unit) for unit in ids[split.val]})
    assert held_out == np.clip(round(n_units * frac), 1, n_units - 1)
    assert all(len(set(side[ids == unit])) == 1 for unit in range(n_units))


def straddles(split: Callable[[np.ndarray], Split], ids: np.ndarray) -> bool:
    """Whether equal rows stand on both sides."""
    found = split(ids)
    return bool(set(ids[found.train]) & set(ids[found.val]))


def test_a_straddling_duplicate_is_seen() -> None:
    """A split that takes every row for itself is caught."""
    ids = ranked([row % 10 for row in range(100)])
    by_row = np.arange(100)

    assert not straddles(lambda ids: split_rows(ids, val_frac=0.2, seed=0), ids)
    assert straddles(lambda _: split_rows(by_row, val_frac=0.2, seed=0), ids)


@given(
    counts=st.lists(st.integers(1, 3), min_size=3, max_size=20),
    seed=st.integers(0, 5),
    data=st.data(),
)
def test_repeating_rows_moves_none(counts: list[int], seed: int, data: st.DataObject) -> None:
    """A row repeated in place leaves every distinct row on its side, however rows are told apart."""
    n_units = len(counts)
    repeated = np.repeat(np.arange(n_units), counts)
    numbers = st.lists(st.integers(0, 2), min_size=n_units, max_size=n_units)
    strata, groups, times = (np.array(data.draw(numbers)) for _ in range(3))
    groups = ranked(groups.tolist())
    groups[data.draw(st.lists(st.booleans(), min_size=n_units, max_size=n_units))] = -1
    for options in (
        {},
        {"strata": strata},
        {"groups": groups},
        {"groups": groups, "strata": strata},
        {"times": times},
        {"groups": groups, "times": times},
    ):
        try:
            once = split_rows(np.arange(n_units), val_frac=0.3, seed=seed, **options)
        except SchemaError:
            continue
        many = {name: values[repeated] for name, values in options.items()}
        twice = split_rows(repeated, val_frac=0.3, seed=seed, **many)
        expected = side_of(once, n_units)[repeated]
        np.testing.assert_array_equal(side_of(twice, len(repeated)), expected)


@given(seed=st.integers(0, 20))
def test_features_of_validation_rows_do_not_matter(seed: int) -> None:
    """Other values in rows that are held out, still distinct, split alike."""
    x = np.arange(50.0)
    y = np.arange(50) % 3
    first = split_rows(row_ids(to_table({"x": x, "y": y})), val_frac=0.3, seed=seed, strata=y)
    other = x.copy()
    other[first.val] = -1000 - x[first.val] * 7
    second = split_rows(row_ids(to_table({"x": other, "y": y})), val_frac=0.3, seed=seed, strata=y)

    assert sides(first) == sides(second)


@given(
    counts=st.lists(st.integers(0, 30), min_size=2, max_size=6),
    frac=st.floats(0.05, 0.95),
    seed=st.integers(0, 5),
)
def test_strata(counts: list[int], frac: float, seed: int) -> None:
    """Each class is held out in its share; two rows or more are on both sides, one row trains."""
    strata = np.repeat(np.arange(len(counts)), counts)
    if len(strata) < 2:
        return
    split = split_rows(np.arange(len(strata)), val_frac=frac, seed=seed, strata=strata)
    train, val = (
        np.bincount(strata[side], minlength=len(counts)) for side in (split.train, split.val)
    )

    assert val.sum() > 0
    assert train.sum() > 0
    if max(counts) > 1:
        assert (train[np.array(counts) > 0] >= 1).all()
        assert (val[np.array(counts) > 1] >= 1).all()
    assert (np.abs(val - np.array(counts) * frac) <= 1).all()


@given(values=st.lists(st.integers(-1, 8), min_size=2, max_size=60), seed=st.integers(0, 5))
def test_groups(values: list[int], seed: int) -> None:
    """A group is on one side; a row without a group is a group of its own."""
    groups = np.array(values)
    groups[groups >= 0] = ranked([value for value in values if value >= 0])
    try:
        split = split_rows(np.arange(len(groups)), val_frac=0.4, seed=seed, groups=groups)
    except SchemaError as error:
        assert len(set(values)) == 1
        assert "at least two groups" in str(error)
        return
    side = side_of(split, len(groups))

    for group in set(groups[groups >= 0]):
        assert len(set(side[groups == group])) == 1
    assert 0 < side.sum() < len(groups)


@given(times=st.lists(st.integers(0, 9), min_size=2, max_size=60), frac=st.floats(0.05, 0.95))
def test_times(times: list[int], frac: float) -> None:
    """What is held out is later than all that trains; equal times are on one side."""
    moments = np.array(times)
    if len(set(times)) == 1:
        with pytest.raises(SchemaError, match="two different times"):
            split_rows(np.arange(len(times)), val_frac=frac, seed=0, times=moments)
        return
    split = split_rows(np.arange(len(times)), val_frac=frac, seed=0, times=moments)

    assert moments[split.train].max() < moments[split.val].min()
    borders = [np.sum(moments >= moment) for moment in sorted(set(times))[1:]]
    assert abs(len(split.val) - len(times) * frac) == min(
        abs(n - len(times) * frac) for n in borders
    )


def test_groups_in_time() -> None:
    """With groups and times, a group is as late as its latest row."""
    groups, times = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 5, 1, 2, 3, 4])
    split = split_rows(np.arange(6), val_frac=0.34, seed=0, groups=groups, times=times)

    assert split.val.tolist() == [0, 1]
    assert "the latest groups" in split.how


def test_seeds() -> None:
    """One seed gives one split in every version; another seed gives another."""
    ids = np.arange(1000)
    first, again, other = (split_rows(ids, val_frac=0.2, seed=seed) for seed in (0, 0, 1))

    assert sides(first) == sides(again) != sides(other)
    assert first.val[:5].tolist() == GOLDEN
    assert first.how == "distinct rows drawn at random: 800 rows to train, 200 held out"


GOLDEN = [2, 8, 12, 13, 19]


@pytest.mark.parametrize("frac", [0.0, 1.0, -1.0, float("nan")])
def test_impossible_shares(frac: float) -> None:
    """The share that is held out is between 0 and 1."""
    with pytest.raises(ValueError, match=r"val_frac must be in \(0, 1\)"):
        split_rows(np.arange(9), val_frac=frac, seed=0)


def folds_of(ids: np.ndarray, n_folds: int, seed: int = 0, **options: np.ndarray) -> np.ndarray:
    """Assign folds, and make sure that each row has one."""
    found = assign_folds(ids, n_folds, seed=seed, **options).of
    assert len(found) == len(ids)
    assert 0 <= found.min() <= found.max() < n_folds
    return found


@given(values=IDS, n_folds=st.integers(2, 8), seed=st.integers(0, 9))
def test_folds_are_balanced(values: list[int], n_folds: int, seed: int) -> None:
    """Equal rows are in one fold, and folds differ by one distinct row at most."""
    ids = ranked(values)
    if count_units(ids) < n_folds:
        with pytest.raises(SchemaError, match=f"number of distinct rows, .*; got {n_folds}"):
            assign_folds(ids, n_folds, seed=seed)
        return
    folds = folds_of(ids, n_folds, seed)
    of_unit = {unit: set(folds[ids == unit]) for unit in range(ids.max() + 1)}

    assert {len(found) for found in of_unit.values()} == {1}
    sizes = np.bincount([found.pop() for found in of_unit.values()], minlength=n_folds)
    assert sizes.min() >= 1
    assert sizes.max() - sizes.min() <= 1


@given(
    counts=st.lists(st.integers(0, 30), min_size=1, max_size=6),
    n_folds=st.integers(2, 7),
    seed=st.integers(0, 5),
)
def test_folds_are_stratified(counts: list[int], n_folds: int, seed: int) -> None:
    """A class is in all folds alike, but for one row; whole folds too."""
    strata = np.repeat(np.arange(len(counts)), counts)
    if len(strata) < n_folds:
        return
    folds = folds_of(np.arange(len(strata)), n_folds, seed, strata=strata)
    table = np.zeros((len(counts), n_folds), dtype=int)
    np.add.at(table, (strata, folds), 1)

    assert (table.max(axis=1) - table.min(axis=1)).max() <= 1
    assert np.ptp(table.sum(axis=0)) <= 1


@given(
    values=st.lists(st.integers(-1, 8), min_size=1, max_size=60),
    n_folds=st.integers(2, 5),
    seed=st.integers(0, 5),
)
def test_groups_keep_together_in_folds(values: list[int], n_folds: int, seed: int) -> None:
    """A group is in one fold; a row without a group is a group of its own."""
    groups = np.array(values)
    groups[groups >= 0] = ranked([value for value in values if value >= 0])
    ids = np.arange(len(groups))
    n_units = len(set(groups[groups >= 0])) + (groups < 0).sum()

    assert count_units(ids, groups) == n_units
    if n_units < n_folds:
        with pytest.raises(SchemaError, match="folds must be from 2 to the number of groups"):
            assign_folds(ids, n_folds, seed=seed, groups=groups)
        return
    folds = folds_of(ids, n_folds, seed, groups=groups)
    whole = [set(folds[groups == group]) for group in sorted(set(groups[groups >= 0]))]
    assert all(len(found) == 1 for found in whole)
    sizes = np.bincount([*(found.pop() for found in whole), *folds[groups < 0]])
    assert len(sizes) == n_folds
    assert np.ptp(sizes) <= 1


@given(
    counts=st.lists(st.integers(1, 3), min_size=3, max_size=20),
    n_folds=st.integers(2, 4),
    seed=st.integers(0, 5),
    data=st.data(),
)
def test_repeating_rows_moves_none_to_another_fold(
    counts: list[int], n_folds: int, seed: int, data: st.DataObject
) -> None:
    """A row repeated in place leaves every distinct row in its fold, however rows are told apart."""
    n_units = len(counts)
    repeated = np.repeat(np.arange(n_units), counts)
    numbers = st.lists(st.integers(0, 2), min_size=n_units, max_size=n_units)
    strata, groups = (np.array(data.draw(numbers)) for _ in range(2))
    groups = ranked(groups.tolist())
    groups[data.draw(st.lists(st.booleans(), min_size=n_units, max_size=n_units))] = -1
    for options in (
        {},
        {"strata": strata},
        {"groups": groups},
        {"groups": groups, "strata": strata},
    ):
        try:
            once = folds_of(np.arange(n_units), n_folds, seed, **options)
        except SchemaError:
            continue
        many = {name: values[repeated] for name, values in options.items()}

        np.testing.assert_array_equal(folds_of(repeated, n_folds, seed, **many), once[repeated])


def test_folds_that_break_up_equal_rows_are_seen() -> None:
    """Folds that take every row for itself put equal rows into several."""
    ids = ranked([row % 10 for row in range(100)])
    by_row = folds_of(np.arange(100), 5)

    assert any(len(set(by_row[ids == unit])) > 1 for unit in range(10))
    assert all(len(set(folds_of(ids, 5)[ids == unit])) == 1 for unit in range(10))


def test_seeds_of_folds() -> None:
    """One seed gives the same folds in every version; another seed gives others."""
    ids = np.arange(1000)
    first, again, other = (assign_folds(ids, 5, seed=seed) for seed in (0, 0, 1))

    np.testing.assert_array_equal(first.of, again.of)
    assert (first.of != other.of).mean() == pytest.approx(0.8, abs=0.05)
    assert first.of[:8].tolist() == GOLDEN_FOLDS
    assert "5 folds of distinct rows drawn at random; each member holds one out" == first.how
    groups, strata = ids // 10, ids % 3
    how = assign_folds(ids, 5, seed=0, groups=groups, strata=strata).how
    assert "5 folds of groups drawn at random within each class" in how


GOLDEN_FOLDS = [1, 0, 0, 1, 3, 1, 2, 1]


@pytest.mark.parametrize("n_folds", [-1, 0, 1, 10])
def test_impossible_folds(n_folds: int) -> None:
    """There are at least two folds, and at most as many as distinct rows."""
    with pytest.raises(SchemaError, match=f"number of distinct rows, 9; got {n_folds}"):
        assign_folds(np.arange(9), n_folds, seed=0)
