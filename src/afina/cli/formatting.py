"""Format numbers and sentences for people to read."""

from collections.abc import Mapping
from typing import Any

from afina.report.formatting import pair


def count(n: int, noun: str) -> str:
    """Return a number followed by its noun, in the singular or plural.

    Example:
        >>> count(1, "row"), count(4454, "row")
        ('1 row', '4,454 rows')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def score_sentence(summary: Mapping[str, Any]) -> str:
    """Return a sentence with both scores, and a warning if the model is no better.

    Args:
        summary: the content of `summary.json`.
    """
    score = summary["score"]
    value, baseline = score["value"], score["baseline"]
    ours, theirs = pair(value, baseline)
    where = "Validation" if summary["on"] == "val" else "Training"
    name = score["name"].replace("_", " ")
    better = None not in (value, baseline) and (
        value > baseline if score["higher_is_better"] else value < baseline
    )
    verdict = "" if better else " The model is no better than the baseline."
    if score.get("caution"):
        verdict = ""  # it says so, on a line of its own
    return (
        f"{where} {name} {ours}, against {theirs} for the baseline ({score['baseline_is']})."
        f"{verdict}"
    )
