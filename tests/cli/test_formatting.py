"""Figures and sentences for people."""

from typing import Any

import pytest

from afina.cli.formatting import count, score_sentence


def summary(name: str, value: float | None, baseline: float, *, higher: bool) -> dict[str, Any]:
    """Make the part of a summary that the sentence is about."""
    score = {
        "name": name,
        "value": value,
        "baseline": baseline,
        "higher_is_better": higher,
        "baseline_is": "the most common class",
    }
    return {"score": score, "on": "val"}


@pytest.mark.parametrize(
    ("value", "baseline", "higher", "verdict"),
    [
        (0.9, 0.6, True, ": 75 % less error."),
        (0.5, 0.6, True, ". The model is no better than the baseline."),
        (0.6, 0.6, True, ". The model is no better than the baseline."),
        (0.5, 0.6, False, ": 17 % less error."),
        (None, 0.6, True, ". The model is no better than the baseline."),
        (0.999999, 0.6, True, ": more than 99 % less error."),
        (1.0, 0.6, True, ": 100 % less error."),
        (0.5999, 0.6, False, ": hardly less error."),
    ],
)
def test_score_sentence(value: float | None, baseline: float, higher: bool, verdict: str) -> None:
    """The score stands beside the baseline; a model that does not beat it is said to be such."""
    sentence = score_sentence(summary("accuracy", value, baseline, higher=higher))

    assert sentence.startswith("Validation accuracy ")
    assert "against 0.6" in sentence
    assert sentence.endswith(f"(the most common class){verdict}")


def test_a_model_that_was_not_tested() -> None:
    """Scores on the training rows are no claim about new rows, and are not written as one."""
    sentence = score_sentence(summary("r2", 0.999, 0.0, higher=True) | {"on": "train"})

    assert sentence.startswith("No rows were held out, so it is not known how good the model is")
    assert (
        "On its training rows, r2 is 0.999; the baseline's (the most common class) is 0."
        in sentence
    )
    assert "less error" not in sentence


def test_count() -> None:
    """One row is not "1 rows"."""
    assert (count(0, "row"), count(1, "row"), count(2000, "row")) == (
        "0 rows",
        "1 row",
        "2,000 rows",
    )
