"""The bench of tables: its scores, its standings, and its separate processes."""

import importlib
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

BENCH = Path(__file__).parents[2] / "bench"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the bench forks, and reads /proc")


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import modules of the bench by name."""
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module


def runs(bench: Any, errors: dict[str, dict[str, list[float]]]) -> list[Any]:
    """Make runs of RMSE: contender -> table -> error by seed; infinite stands for a failure."""
    return [
        bench("run_record").Run(
            name, table, "regression", seed, rmse=error, failure="" if error < math.inf else "died"
        )
        for name, by_table in errors.items()
        for table, by_seed in by_table.items()
        for seed, error in enumerate(by_seed)
    ]


def test_comparisons_use_common_seeds_and_tables(bench: Any) -> None:
    """Medians are over the seeds and tables that all compared contenders ran."""
    made = runs(bench, {"a": {"t": [1.0, 5.0, 6.0], "u": [1.0]}, "b": {"t": [2.0]}})

    assert {"t": {"a": 1.0, "b": 2.0}} == bench("standings").median_errors(made, ["a", "b"])
    assert ["a"] == bench("standings").complete(made)


def test_ranks_wins_and_distances(bench: Any) -> None:
    """Ties share ranks and wins; a distance is at most 1; who failed is last."""
    s = bench("standings")
    errors = s.median_errors(
        runs(
            bench,
            {
                "a": {"t": [1.0], "u": [2.0], "v": [3.0]},
                "b": {"t": [1.0], "u": [3.0], "v": [math.inf]},
                "c": {"t": [9.0], "u": [4.0], "v": [3.3]},
            },
        ),
        ["a", "b", "c"],
    )

    assert pytest.approx({"a": 3.5 / 3, "b": 6.5 / 3, "c": 8 / 3}) == s.mean_ranks(errors)
    assert pytest.approx({"a": 0, "b": 0.5, "c": 2.1 / 3}) == s.mean_distances(errors)
    assert (2.5, 0.5) == (s.wins(errors, "a", "b"), s.wins(errors, "b", "a"))
    assert pytest.approx((1 * 1.5 * 2) ** (1 / 3)) == s.error_ratio(errors, "b", "a")[0]


def test_runs_are_read_as_written(bench: Any, tmp_path: Path) -> None:
    """A run comes back from its CSV file, with what is missing as NaN; a new one takes its place."""
    record = bench("run_record")
    one = record.Run("a", "t", "regression", 0, rmse=0.5, fit_s=2.0, versions="x 1")
    record.write_runs(tmp_path / "runs.csv", record.merge([one], runs(bench, {"b": {"t": [1.0]}})))

    read = record.read_runs(tmp_path / "runs.csv")

    assert repr(one) == repr(read[0])
    assert 2 == len(record.merge(read, [one]))


def test_scores_of_classes(bench: Any) -> None:
    """Scores equal scikit-learn's; labels that were not fitted are left out."""
    from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), 50)
    y = pd.Series(rng.choice(["a", "b", "c"], 50))
    classes = np.array(["a", "b", "c"])

    scores = bench("one_run").score("multiclass", y, p, classes)

    assert pytest.approx(1 - roc_auc_score(y, p, multi_class="ovr")) == scores["auc_error"]
    assert pytest.approx(log_loss(y, p)) == scores["log_loss"]
    assert pytest.approx(1 - accuracy_score(y, classes[p.argmax(1)])) == scores["acc_error"]
    more = bench("one_run").score(
        "multiclass", pd.concat([y, pd.Series(["new"])]), np.vstack([p, p[:1]]), classes
    )
    assert scores == more


def test_each_run_ends_alone(bench: Any) -> None:
    """What raises or dies is a failure of that run only."""
    one_run = bench("one_run")

    def raises() -> dict[str, Any]:
        raise ValueError("no such luck\nsecond line")

    work = {
        "good": lambda: {"rmse": 1.0, "pid": os.getpid()},
        "raises": raises,
        "dies": lambda: os._exit(7),
    }
    tasks = [one_run.Task(name, each) for name, each in work.items()]

    figures = dict(one_run.run_apart(tasks, limit_s=60.0, jobs=2))

    assert os.getpid() != figures["good"].pop("pid")
    assert {
        "good": {"rmse": 1.0},
        "raises": {"failure": "ValueError: no such luck"},
        "dies": {"failure": "the process ended with code 7"},
    } == figures


def test_a_run_that_takes_too_long_is_ended(bench: Any) -> None:
    """Each is ended at its limit, however long it would go on, and the next has its turn."""
    one_run = bench("one_run")
    tasks = [one_run.Task(name, lambda: time.sleep(600)) for name in ("one", "two", "three")]

    figures = dict(one_run.run_apart(tasks, limit_s=1.0, jobs=2))

    assert ["one", "three", "two"] == sorted(figures)
    assert all(one == {"failure": "took longer than 1 s"} for one in figures.values())


MEASURE = """
import sys
import numpy as np, pandas as pd
sys.path.insert(0, sys.argv[1])
from one_run import Task, measure, run_apart

def fit():
    np.ones(40_000_000 // 8).sum()
    return lambda x: np.zeros(len(x))

task = Task("t", lambda: measure(fit, pd.DataFrame({"a": [1.0]}), 1)[1])
(_, figures), *_ = run_apart([task], limit_s=600.0, jobs=1)
print(figures["memory_mb"])
"""


def test_memory_is_what_the_fit_took() -> None:
    """The peak above what was held before is found, also when all of it is given back.

    In a process of its own: one that has run other tests may take the array from memory it has.
    """
    program = [sys.executable, "-c", MEASURE, str(BENCH)]
    memory_mb = float(subprocess.run(program, check=True, capture_output=True, text=True).stdout)

    if math.isnan(memory_mb):
        pytest.skip("this system does not let a process reset its peak memory")
    # 40 MB, but for what the kernel, which counts pages by processor, has not added up yet.
    assert 30 < memory_mb < 60


def test_peers_see_no_level_of_other_rows(bench: Any) -> None:
    """Categories come from the fitted rows; other levels are missing, dates are days."""
    fitted = pd.DataFrame(
        {"c": ["x", "y", None], "d": ["1970-01-03"] * 3, "n": [True, False, True]}
    )
    other = pd.DataFrame({"c": ["z", "x"], "d": ["1970-01-02", "soon"], "n": [False, True]})
    frame = bench("peer_frame").PeerFrame.fit(fitted)

    given = frame.categories(other)

    assert {"x", "y"} == set(given["cat0"].cat.categories)
    assert [True, False] == given["cat0"].isna().tolist()
    assert [[0.0, 1.0], [1.0, None]] == given[["num0", "num1"]].replace(
        np.nan, None
    ).to_numpy().tolist()
    assert ["x", "y", "(missing)"] == frame.text(fitted)["cat0"].tolist()


def test_a_look_at_the_confirm_tables_is_logged(bench: Any, tmp_path: Path) -> None:
    """Each look stands under its day in the log, and nothing else there changes."""
    log = tmp_path / "log.md"
    log.write_text("# Log\n\nNewest first.\n\n## 2026-01-02\n\n- old\n")
    note = bench("tables").note_confirmation

    note(log, "one", "2026-01-02")
    note(log, "two", "2026-01-03")

    line = "- **Confirm tables run** (`bench/tables.py --half confirm`), to confirm: "
    assert (
        f"# Log\n\nNewest first.\n\n## 2026-01-03\n\n{line}two\n"
        f"\n## 2026-01-02\n\n{line}one\n- old\n"
    ) == log.read_text()


def test_settings_of_a_variant(bench: Any) -> None:
    """A variant's settings are read with their types."""
    text = "lr=2e-3,init=torch,residual=true,patience=None,d_block=64"

    assert {
        "lr": 2e-3, "init": "torch", "residual": True, "patience": None, "d_block": 64
    } == bench("tables").settings_of(text)  # fmt: skip


def test_confirm_needs_a_choice(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The confirm tables are not run by accident."""
    monkeypatch.setattr(sys, "argv", ["tables.py", "--half", "confirm"])

    with pytest.raises(SystemExit):
        bench("tables").parse()
