import base64
import json
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afina.errors import CheckpointError
from afina.tabular.run.split_file import read_split, write_split


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from("tv-"), max_size=70))
def test_a_split_reads_back_as_it_was(places):
    """Any assignment of rows is read back equal."""
    sides = np.array(places, dtype="U1")
    train, val = np.flatnonzero(sides == "t"), np.flatnonzero(sides == "v")
    back = read_split(write_split(train, val, len(sides), "how"), "split.json")
    assert back[0].tolist() == train.tolist()
    assert back[1] is not None
    assert back[1].tolist() == val.tolist()


def test_a_validation_table_of_its_own_stands_as_null():
    """Without validation rows in the table there is no mask for them."""
    data = write_split(np.arange(3), None, 3, "a file")
    assert json.loads(data)["val"] is None
    assert read_split(data, "split.json")[1] is None


def test_a_million_rows_stay_small():
    """A random fifth of a million rows takes less than 400 kB."""
    rng = np.random.default_rng(0)
    val = np.sort(rng.choice(1_000_000, 200_000, replace=False))
    train = np.setdiff1d(np.arange(1_000_000), val)
    assert len(write_split(train, val, 1_000_000, "drawn")) < 400_000


@pytest.mark.parametrize("key", ["train", "val", "sha256", "n_rows", "format"])
def test_a_changed_split_is_refused(key):
    """Every entry that says something is checked."""
    content = json.loads(write_split(np.array([0, 2]), np.array([1]), 4, "by hand"))
    bomb = base64.b64encode(zlib.compress(bytes(50_000_000))).decode()
    for bad in ("", bomb, 7, None, [1], -1):
        if key == "val" and bad is None:
            continue
        with pytest.raises(CheckpointError, match="split"):
            read_split(json.dumps(content | {key: bad}).encode(), "split.json")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-1, 63), max_size=70))
def test_folds_read_back_as_they_were(places):
    """The fold of each training row is read back equal, and there are no validation rows."""
    of = np.array(places, dtype=np.int64)
    train = np.flatnonzero(of >= 0)
    data = write_split(train, None, len(of), "how", of[train])
    rows, val, folds = read_split(data, "split.json")

    assert val is None
    assert rows.tolist() == train.tolist()
    assert folds.dtype == np.int64
    assert folds.tolist() == of[train].tolist()


def test_without_folds_none_are_read():
    """A split by sides has no folds, and no entry for them."""
    data = write_split(np.array([0, 2]), np.array([1]), 4, "by hand")

    assert read_split(data, "split.json").folds is None
    assert "folds" not in json.loads(data)


def test_folds_of_a_million_rows_stay_small():
    """Five folds of a million rows take less than 500 kB."""
    of = np.random.default_rng(0).integers(0, 5, 1_000_000)

    assert len(write_split(np.arange(1_000_000), None, 1_000_000, "drawn", of)) < 500_000


def packed(folds):
    """Write folds as split.json does."""
    return base64.b64encode(zlib.compress(bytes(folds))).decode()


@pytest.mark.parametrize(
    "bad",
    [
        "",
        None,
        7,
        [0, 1, 0],
        "no base64",
        packed([0, 1]),
        packed([0, 1, 0, 0]),
        packed([0, 0, 1]),
        packed(50_000_000),
        ...,
    ],
)
def test_changed_folds_are_refused(bad):
    """Folds that are damaged, of other rows, other ones or gone are refused."""
    content = json.loads(write_split(np.array([0, 2, 3]), None, 5, "by hand", np.array([0, 1, 0])))
    changed = {name: value for name, value in content.items() if name != "folds"}
    if bad is not ...:
        changed["folds"] = bad
    assert read_split(json.dumps(content).encode(), "split.json").folds.tolist() == [0, 1, 0]
    with pytest.raises(CheckpointError, match=r"split\.json"):
        read_split(json.dumps(changed).encode(), "split.json")


def test_folds_where_there_were_none_are_refused():
    """Folds put into a split without them are found."""
    content = json.loads(write_split(np.array([0, 2]), np.array([1]), 4, "by hand"))
    with pytest.raises(CheckpointError, match="sha256"):
        read_split(json.dumps(content | {"folds": packed([0, 1])}).encode(), "split.json")
