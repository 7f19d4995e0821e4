"""The page's text."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from afina.records.summary_json import Confusion
from afina.report.run_files import read_run
from afina.report.sections import (
    classes_table,
    header,
    next_section,
    score_section,
    scores_table,
    settings_section,
    stop_section,
)

Maker = Callable[..., Path]


def _score(**more: Any) -> dict[str, Any]:
    score = {
        "name": "accuracy",
        "value": 0.81,
        "baseline": 0.72,
        "higher_is_better": True,
        "baseline_is": "always 'good', the most common class",
    }
    return {"score": score | more}


def _summary(make_run: Maker, change: dict[str, Any], **files: Any) -> Any:
    """Read a made-up run with something else in its summary."""
    import json

    folder = make_run("binary", **files)
    path = folder / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    return read_run(folder)


def test_the_title(make_run: Maker) -> None:
    """Target, table, task and rows stand on top."""
    text = header(read_run(make_run("binary")))
    assert "<span>Status</span> <small>from credit.csv</small>" in text
    assert "two classes · 3,564 training rows · 890 validation rows" in text
    assert "12 classes" in header(read_run(make_run("multiclass")))
    assert "from autos.csv" in header(read_run(make_run("regression")))


def test_the_score_in_a_sentence(make_run: Maker) -> None:
    """The score stands beside what no learning gives, in words."""
    text = score_section(_summary(make_run, _score()))
    assert (
        "On 890 validation rows, the model&#39;s accuracy is 0.810; the baseline&#39;s "
        "(always &#39;good&#39;, the most common class) is 0.720. The model has 32 % less error than its baseline."
    ) in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_score(value=0.72), "no better than its baseline"),
        (_score(value=0.7), "no better than its baseline"),
        (
            _score(value=0.7, higher_is_better=False),
            "The model has 3 % less error than its baseline",
        ),
        (_score(value=None), "accuracy is not finite"),
        (_score(baseline=None), "the most common class) is not finite"),
        (
            _score() | {"on": "train"},
            "On the 3,564 training rows, which it learned from, its accuracy is 0.810",
        ),
        (_score() | {"on": "train"}, "it is not known how good the model is on new rows"),
    ],
)
def test_the_verdict(make_run: Maker, change: dict[str, Any], words: str) -> None:
    """A model that is no better than no model is called so."""
    assert words in score_section(_summary(make_run, change))


def test_why_it_stopped(make_run: Maker) -> None:
    """The reason, the best epoch and where training ended are said."""
    text = stop_section(read_run(make_run("binary")))
    assert "val/loss has not improved for 16 evaluations." in text
    assert "the weights of epoch 28, where val/loss was 0.4575" in text
    assert "Training ended at epoch 44, step 616, and took 11.4 s." in text


def test_a_run_without_validation_has_the_last_weights(make_run: Maker) -> None:
    """Where no rows were held out, the last weights are the model's."""
    stop = {"step": 9, "epoch": 3, "reason": "max_epochs", "why": "max_epochs=3 was reached"}
    text = stop_section(_summary(make_run, {"stop": stop}))
    assert "max_epochs=3 was reached. No rows were held out" in text


def test_an_unfinished_run_says_so(make_run: Maker) -> None:
    """An unfinished run says how far it came and how to continue."""
    run = read_run(make_run("unfinished"))
    assert "This run is unfinished" in score_section(run)
    assert "So far: 9 epochs, 132 steps. The lowest validation loss is 0.5342." in score_section(
        run
    )
    assert f"afina resume {run.folder}" in next_section(run)
    assert stop_section(run) == ""


def test_all_scores(make_run: Maker) -> None:
    """Every score stands beside the baseline's, also one that only one of them has."""
    change = {"scores": {"a": 1.5, "b": None}, "baseline_scores": {"a": 2.5, "c": 3.5}}
    summary = _summary(make_run, change).summary
    text = scores_table(summary)
    for name, model, baseline in [
        ("a", "1.500", "2.500"),
        ("b", "not finite", ""),
        ("c", "", "3.500"),
    ]:
        cells = f'<td class="number">{model}</td><td class="number">{baseline}</td>'
        assert f'<th scope="row">{name}</th>{cells}' in text


def test_by_class() -> None:
    """Recall is a share of the class's rows, precision one of the rows predicted as it."""
    text = classes_table(Confusion(("bad", "good", "odd"), ((3, 1, 0), (0, 4, 0), (0, 0, 0))))
    assert '<th scope="row">bad</th><td class="number">4</td>' in text
    assert '<td class="number">75.0 %</td><td class="number">100.0 %</td>' in text
    assert '<td class="number">no rows</td><td class="number">no rows</td>' in text


def test_many_classes_list_the_mistakes() -> None:
    """With many classes the most frequent mistakes are listed, most frequent first."""
    n = 40
    counts = [[9 if i == j else 0 for j in range(n)] for i in range(n)]
    counts[7][8], counts[8][7] = 5, 6
    text = classes_table(Confusion(tuple(f"c{i}" for i in range(n)), tuple(map(tuple, counts))))
    assert text.index('c8</th><td>c7</td><td class="number">6') < text.index("c7</th><td>c8</td>")
    assert text.count("<tr>") == 3


def test_settings_are_folded_away(make_run: Maker) -> None:
    """Settings, versions and the split's rule are there for who asks; long values are cut."""
    text = settings_section(read_run(make_run("binary")))
    assert text.startswith("<section><details><summary>")
    assert "max_epochs = 256" in text
    assert "torch: 2.13.0" in text
    assert "how: 20 % by class, seed 0" in text
    assert "eJz" * 70 not in text


def test_the_next_commands_can_be_typed(make_run: Maker, tmp_path: Path) -> None:
    """Commands have the run's path, quoted for the shell."""
    folder = tmp_path / "meine läufe; rm"
    shutil.copytree(make_run("binary"), folder)
    text = next_section(read_run(folder))
    assert f"afina predict &#39;{folder}&#39; new.csv --out predictions.csv" in text
    assert f"afina evaluate &#39;{folder}&#39; new.csv" in text
    assert "resume" not in text
