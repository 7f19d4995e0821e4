"""Whether identical rows are copies or observations that turned out alike."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.table import find_repeats, repeats, to_table


def judge(frame: pd.DataFrame, target: np.ndarray, **arguments: object) -> repeats.Repeats:
    return find_repeats(to_table(frame), target, **arguments)


def categories(seed: int, n: int, *sizes: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {f"c{i}": [f"v{code}" for code in rng.integers(0, size, n)] for i, size in enumerate(sizes)}
    )


def numbers(seed: int, n: int, decimals: int | None = None) -> pd.DataFrame:
    x = np.random.default_rng(seed).normal(size=(n, 4))
    x = x if decimals is None else x.round(decimals)
    return pd.DataFrame(x, columns=list("abcd"))


def classes(seed: int, n: int) -> np.ndarray:
    return np.random.default_rng([seed, 1]).integers(0, 2, n)


def dependent(seed: int) -> pd.DataFrame:
    """A category, a second that nearly always follows from it, and a third that always does."""
    rng = np.random.default_rng(seed)
    city = rng.integers(0, 20, 1000)
    club = np.where(rng.random(1000) < 0.95, city % 7, rng.integers(0, 7, 1000))
    return pd.DataFrame({"city": city.astype(str), "club": club.astype(str), "code": city % 10})


OBSERVED = {
    "a category": categories(0, 300, 60),
    "three categories": categories(0, 600, 4, 5, 6),
    "a whole number": pd.DataFrame({"age": np.random.default_rng(0).integers(18, 80, 500)}),
    "a number as text": pd.DataFrame(
        {"k": np.random.default_rng(0).integers(0, 60, 500).astype(str)}
    ),
    "a name beside its code": categories(0, 400, 50).assign(code=lambda t: "n" + t["c0"]),
    "a region beside its city": categories(0, 400, 90).assign(r=lambda t: t["c0"].str[:2]),
    "dependent categories": dependent(0),
    "booleans": pd.DataFrame(np.random.default_rng(0).random((200, 5)) < 0.3).add_prefix("b"),
    "rounded numbers": numbers(0, 4000, 0),
    "a constant column": categories(0, 300, 60).assign(same="x"),
    "missing cells": categories(0, 300, 60).mask(np.random.default_rng(1).random((300, 1)) < 0.2),
    "days": pd.DataFrame(
        {
            "day": pd.Timestamp("2024-01-01")
            + pd.to_timedelta(np.random.default_rng(0).integers(0, 90, 400), "D")
        }
    ),
}
RICH = {
    "numbers": numbers(0, 200),
    "numbers and a flag": numbers(0, 200)[["a"]].assign(flag=classes(1, 200)),
    "a number": numbers(0, 200)[["a"]],
    "many categories": categories(0, 400, *[6] * 9),
    "an id and what it determines": categories(0, 200, 4, 5, 3).assign(
        id=[f"id {i}" for i in range(200)]
    ),
}


@pytest.mark.parametrize("name", OBSERVED)
def test_what_chance_repeats_is_observed(name: str) -> None:
    """Rows of few combinations stand for themselves, whatever their targets."""
    frame = OBSERVED[name]
    for target in (classes(0, len(frame)), np.zeros(len(frame), dtype=np.int64)):
        judged = judge(frame, target)

        assert judged.meaning == "observations"
        assert judged.units.tolist() == list(range(len(frame)))


@pytest.mark.parametrize("name", RICH)
@pytest.mark.parametrize("how", ["each", "some", "one class"])
def test_copies_are_copies(name: str, how: str) -> None:
    """Rows of columns in which hardly any two agree are copies, each or some of them copied."""
    frame, target = RICH[name], classes(0, len(RICH[name]))
    rng = np.random.default_rng(3)
    order = {
        "each": np.repeat(np.arange(len(frame)), 5),
        "some": rng.integers(0, len(frame), 3 * len(frame)),
        "one class": np.repeat(np.arange(len(frame)), np.where(target == 1, 7, 1)),
    }[how]
    judged = judge(frame.iloc[rng.permutation(order)], target[order])

    assert judged.meaning == "copies"
    assert judged.units.max() + 1 == len(np.unique(order))


def test_rows_of_one_record_with_several_targets_stay_together() -> None:
    """Measurements joined to the features of their patient are not observed anew."""
    frame = numbers(0, 150).iloc[np.repeat(np.arange(150), 6)]

    assert judge(frame, np.random.default_rng(0).normal(size=900)).meaning == "copies"


@pytest.mark.parametrize("name", OBSERVED)
def test_copies_of_observations_stay_with_what_they_copy(name: str) -> None:
    """Five copies of a table of few combinations are judged like that table, five rows a unit."""
    frame, target = OBSERVED[name], classes(0, len(OBSERVED[name]))
    rng = np.random.default_rng(0)
    order = rng.permutation(np.repeat(np.arange(len(frame)), 5))
    judged = judge(frame.iloc[order], target[order])

    assert (judged.meaning, judged.n_copies) == ("observations", 5)
    assert np.bincount(judged.units).tolist() == [5] * len(frame)


def test_one_row_of_each_combination_is_nothing_to_judge_by() -> None:
    """A balanced table without noise is a look-up, not copies of a table in which nothing repeats."""
    frame = pd.DataFrame({"level": np.repeat([f"v{i}" for i in range(30)], 8)})

    assert judge(frame, np.repeat(np.arange(30) % 2, 8)).meaning == "observations"


def test_few_identical_rows_do_not_matter() -> None:
    """Three duplicates of a thousand rows stay together, without more."""
    frame = numbers(0, 1000).iloc[[*range(1000), 1, 2, 3]]
    judged = judge(frame, classes(0, 1003))

    assert (judged.meaning, judged.n_identical, judged.units[1000]) == ("few", 6, 1)


def test_codes_that_are_declared_as_categories_are_categories() -> None:
    """Five-digit codes repeat by nature once they are categories."""
    codes = np.random.default_rng(0).integers(10_000, 99_999, 80)
    frame = pd.DataFrame({"code": codes[np.random.default_rng(1).integers(0, 80, 600)]})
    target = classes(0, 600)

    assert judge(frame, target).meaning == "copies"
    assert judge(frame, target, categorical=["code"]).meaning == "observations"
    assert judge(frame.astype("category"), target).meaning == "observations"


TABLES = st.integers(0, 10_000).flatmap(
    lambda seed: st.sampled_from(
        [
            categories(seed, 80, 3, 4, 5),
            categories(seed, 60, *[5] * 6).iloc[np.repeat(np.arange(60), 3)],
            numbers(seed, 40).iloc[np.repeat(np.arange(40), 2)],
            numbers(seed, 90, 0)[["a", "b"]],
            dependent(seed).iloc[:90],
        ]
    )
)


@given(frame=TABLES, seed=st.integers(0, 10_000))
def test_order_does_not_matter(frame: pd.DataFrame, seed: int) -> None:
    """Neither the order of the rows nor that of the columns changes what is decided."""
    rng = np.random.default_rng(seed)
    frame, target = frame.reset_index(drop=True), classes(seed, len(frame))
    rows, columns = rng.permutation(len(frame)), rng.permutation(frame.shape[1])
    judged, other = judge(frame, target), judge(frame.iloc[rows, columns], target[rows])

    assert (judged.meaning, judged.n_copies) == (other.meaning, other.n_copies)
    assert judged.n_identical == other.n_identical
    if judged.n_copies == 1:  # which copies are one unit is as good as any
        pairs = {*zip(judged.units[rows].tolist(), other.units.tolist(), strict=True)}
        assert len(pairs) == len(set(judged.units)) == len(set(other.units))


def test_a_rule_that_counts_no_copies_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the copies of a row of few combinations would be on both sides."""
    monkeypatch.setattr(repeats, "_find_copies", lambda units, _: (np.arange(len(units)), 1))
    frame, order = categories(0, 500, 5, 5, 5), np.repeat(np.arange(500), 5)
    judged = judge(frame.iloc[order], classes(0, 500)[order])

    assert (judged.meaning, judged.n_copies) == ("observations", 1)


def test_a_rule_that_needs_few_near_misses_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise rows that were drawn again from many categories would be divided."""
    frame, order = categories(0, 500, 8, 8, 8, 8), np.random.default_rng(0).integers(0, 500, 2500)
    frame, target = frame.iloc[order], classes(0, 500)[order]
    assert judge(frame, target).meaning == "copies"
    monkeypatch.setattr(repeats, "_EXPLAINED", 0.01)

    assert judge(frame, target).meaning == "observations"


def test_a_rule_that_never_explains_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the rule about chance, look-ups are kept together."""
    monkeypatch.setattr(repeats, "_explains", lambda _codes, _dense: False)
    frame = OBSERVED["three categories"]

    assert judge(frame, classes(0, len(frame))).meaning == "copies"
