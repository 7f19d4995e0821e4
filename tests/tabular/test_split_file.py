import base64
import json
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afina.errors import CheckpointError
from afina.tabular.split_file import read_split, write_split


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
