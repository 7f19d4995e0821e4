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
        "baseline_is": "the commonest class",
    }
    return {"score": score, "on": "val"}


@pytest.mark.parametrize(
    ("value", "baseline", "higher", "verdict"),
    [
        (0.9, 0.6, True, ""),
        (0.5, 0.6, True, " The model is no better than the baseline."),
        (0.6, 0.6, True, " The model is no better than the baseline."),
        (0.5, 0.6, False, ""),
        (None, 0.6, True, " The model is no better than the baseline."),
    ],
)
def test_score_sentence(value: float | None, baseline: float, higher: bool, verdict: str) -> None:
    """The score stands beside the baseline; a model that does not beat it is said to be such."""
    sentence = score_sentence(summary("accuracy", value, baseline, higher=higher))

    assert sentence.startswith("Validation accuracy ")
    assert "against 0.6" in sentence
    assert sentence.endswith(f"(the commonest class).{verdict}")


def test_count() -> None:
    """One row is not "1 rows"."""
    assert (count(0, "row"), count(1, "row"), count(2000, "row")) == (
        "0 rows",
        "1 row",
        "2,000 rows",
    )
