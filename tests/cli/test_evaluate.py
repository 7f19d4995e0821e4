"""afina evaluate."""

import json
import subprocess
from collections.abc import Callable

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_scores_beside_the_baseline(fitted, afina_here: Run) -> None:
    """Each score stands beside the baseline's on stdout; rows left out are a note on stderr."""
    run = afina_here("evaluate", "a run", "cars.csv")

    assert run.returncode == 0
    lines = [line.split() for line in run.stdout.splitlines()]
    assert lines[0] == ["score", "model", "baseline"]
    assert lines[1][0] == "accuracy"
    assert float(lines[1][1]) > float(lines[1][2])
    assert run.stderr.startswith("note: ")


def test_its_own_table_is_named(fitted, afina_here: Run) -> None:
    """A model scored on the very table it was trained on says so; on other rows it does not."""
    cars = (fitted.folder / "cars.csv").read_text().splitlines(keepends=True)
    (fitted.folder / "fewer.csv").write_text("".join(cars[:100]))

    words = "the table this model was trained on"
    assert words in afina_here("evaluate", "a run", "cars.csv").stderr
    assert words in afina_here("evaluate", "a run/model", "cars.csv").stderr
    assert words not in afina_here("evaluate", "a run", "fewer.csv").stderr


def test_json(fitted, afina_here: Run) -> None:
    """--json gives the same scores as one object."""
    run = afina_here("evaluate", "a run", "cars.csv", "--json", "-q")

    assert (0, "") == (run.returncode, run.stderr)
    found = json.loads(run.stdout)
    assert found["schema_version"] == 1
    assert found["rows"] == {"scored": 159, "left_out": 1}
    assert set(found["scores"]) == set(found["baseline_scores"])


def test_no_answers(fitted, afina_here: Run) -> None:
    """A table without the target column cannot be evaluated."""
    (fitted.folder / "blind.csv").write_text("size,color,note\n1.0,red,same\n")

    run = afina_here("evaluate", "a run", "blind.csv")

    assert (3, "") == (run.returncode, run.stdout)
    assert "class" in run.stderr


def test_no_gain_is_noted(fitted, afina_here: Run) -> None:
    """Where a score is no better than the baseline's, or only by chance, a note says so."""
    header, *cars = (fitted.folder / "cars.csv").read_text().splitlines(keepends=True)
    swapped = [line[:-2] + str(3 - int(line[-2])) + "\n" for line in cars if line[-2].isdigit()]
    (fitted.folder / "swapped.csv").write_text("".join([header, *swapped]))
    same = [line for line in cars if line.endswith(",02\n")]
    (fitted.folder / "same.csv").write_text("".join([header, *same]))

    words = "no better than the baseline's"
    assert words in afina_here("evaluate", "a run", "swapped.csv").stderr
    assert words not in afina_here("evaluate", "a run", "cars.csv").stderr
    assert afina_here("evaluate", "a run", "same.csv").returncode == 0
