"""Identical rows in a fit: what is held out, what is noted, and what is learned."""

import numpy as np
import pandas as pd
import pytest

import afina
import afina.table
from afina.config import Config
from afina.table import Observations, to_table
from afina.tabular.preparation import sides
from afina.tabular.preparation.sides import keep_together
from afina.tabular.training.resolve import DataFacts, choose_smoothing


def look_up(n: int = 1000, *, noise: float = 0.0) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Return rows of 64 combinations, their classes, and the class of each combination."""
    rng = np.random.default_rng(0)
    rows, label = rng.integers(0, 64, n), np.random.default_rng(1).integers(0, 2, 64)
    return combinations(rows), label[rows] ^ (rng.random(n) < noise), label


def combinations(rows: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        {"a": [f"a{row // 8}" for row in rows], "b": [f"b{row % 8}" for row in rows]}
    )


def test_what_can_be_looked_up_is_learned() -> None:
    """Of 64 combinations in 1,000 rows, each is predicted as it was seen."""
    x, y, label = look_up()
    model = afina.AfinaClassifier(random_state=0).fit(x, y)

    assert (model.predict(combinations(np.arange(64))) == label).mean() > 0.95
    assert any("1,000 of 1,000 rows are identical" in note for note in model.notes_)
    assert any("treated as repeated observations, held out one by one" in n for n in model.notes_)


def test_codes_in_numbers_can_be_looked_up() -> None:
    """A number whose values mean what they like has an edge at each of them if they repeat often."""
    rows, label = np.random.default_rng(0).integers(0, 40, 800), np.arange(40) % 5 < 2
    model = afina.AfinaClassifier(random_state=0).fit(pd.DataFrame({"k": rows}), label[rows])

    assert (model.predict(pd.DataFrame({"k": np.arange(40)})) == label).mean() > 0.95


def test_a_look_up_that_is_kept_together_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above fails if identical rows are all copies."""
    monkeypatch.setattr(sides, "find_repeats", all_copies)
    x, y, label = look_up()
    model = afina.AfinaClassifier(random_state=0).fit(x, y)

    assert (model.predict(combinations(np.arange(64))) == label).mean() < 0.9
    assert any("treated as copies, held out together" in note for note in model.notes_)


def all_copies(features, target, **_):
    repeats = afina.table.find_repeats(features, target)
    ids = afina.table.row_ids(features)
    return afina.table.Repeats(ids, "copies", repeats.n_identical, repeats.n_distinct)


def test_five_copies_are_five_copies() -> None:
    """A note says that copies were found among observations, and how many."""
    x, y, _ = look_up(400, noise=0.2)
    order = np.random.default_rng(2).permutation(np.repeat(np.arange(400), 5))
    decided = keep_together(to_table(x.iloc[order]), y[order].astype(np.int64))

    assert np.bincount(decided.units).tolist() == [5] * 400
    assert decided.observations == Observations(400, len(x.drop_duplicates()))
    assert "repeated observations (5 copies of each)" in decided.notes[0]


def test_some_identical_rows_are_noted() -> None:
    """A tenth of the rows is named and kept together; one in a hundred is not worth a note."""
    x = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 3))).add_prefix("x")
    y = np.zeros(300, dtype=np.int64)
    some = keep_together(to_table(x.iloc[[*range(200), *range(10)]]), y[:210])

    assert some.notes == (
        "20 of 210 rows are identical in all features to another row: such rows are held out together",
    )
    assert some.units.max() == 199
    assert keep_together(to_table(x.iloc[[*range(200), 1]]), y[:201]).notes == ()


def test_groups_win() -> None:
    """With a group for each combination, combinations stay together, and nothing is noted."""
    x, y, _ = look_up(400)
    groups = x["a"] + x["b"]
    model = afina.AfinaClassifier(random_state=0, max_epochs=2).fit(x, y, groups=groups)

    assert not any("identical" in note for note in model.notes_)


def test_smoothing_is_worth_some_rows() -> None:
    """Two rows of each class and one for two combinations, at most 32; none without repetition."""
    facts = {"n_rows": 50, "n_folds": 6, "validates": True, "n_bins": 2, "n_embedded": 0}
    facts |= {"n_classes": 2, "target_kind": None}

    assert Config().train.label_smoothing == "auto"
    assert choose_smoothing("auto", DataFacts(**facts)) == 0.0
    for n_distinct, added in ((2, 4), (10, 4 + 4), (200, 4 + 32)):
        seen = DataFacts(**facts, observations=Observations(100, n_distinct))
        assert choose_smoothing("auto", seen) == added / (100 + added)
        assert choose_smoothing(0.0, seen) == 0.0
    numeric = DataFacts(**facts | {"n_classes": 0}, observations=Observations(100, 10))
    assert choose_smoothing("auto", numeric) == 0.0
