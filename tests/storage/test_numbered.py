import os
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from afina.errors import StorageError
from afina.storage import claim_folder, list_numbered


def claim(goal):
    """Claim a folder in another process or thread."""
    return str(claim_folder(goal)[0])


def test_a_free_folder_is_taken_first(tmp_path):
    """A new or empty folder is used itself, once; numbers follow the largest there is."""
    goal = tmp_path / "a" / "b"

    assert claim_folder(goal) == (goal, [goal, tmp_path / "a"])
    assert claim_folder(goal) == (goal / "0001", [goal / "0001"])
    (goal / "0041").mkdir()
    (goal / "notes").mkdir()
    assert claim_folder(goal) == (goal / "0042", [goal / "0042"])
    assert [path.name for path in list_numbered(goal)] == ["0001", "0041", "0042"]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert claim_folder(empty) == (empty, [])


def test_more_than_9999_runs(tmp_path):
    """Five digits follow four, in the order of numbers."""
    for name in ("9999", "10000"):
        (tmp_path / name / "x").mkdir(parents=True)

    assert claim_folder(tmp_path)[0] == tmp_path / "10001"
    assert [path.name for path in list_numbered(tmp_path)] == ["9999", "10000", "10001"]


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_no_two_get_one_folder(tmp_path, kind):
    """Threads and processes that begin at once get folders of their own."""
    goals = [tmp_path / "run"] * 60
    if kind == "threads":
        with ThreadPoolExecutor(12) as pool:
            folders = list(pool.map(claim, goals))
    else:
        with get_context("fork").Pool(4) as pool:
            folders = pool.map(claim, goals, chunksize=1)

    assert len(set(folders)) == 60
    assert str(tmp_path / "run") in folders


def test_what_cannot_be_a_folder_is_refused(tmp_path):
    """A file in the way, above it or at it, is named with a remedy of Python."""
    (tmp_path / "file").write_text("precious")
    for goal in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(StorageError, match=r"run_dir must be.*Choose another run_dir\."):
            claim_folder(goal)

    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused(tmp_path):
    """A folder that cannot be written is named with the reason."""
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="Permission denied"):
        claim_folder(tmp_path / "run")
