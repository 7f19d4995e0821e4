"""Format numbers and sentences for people to read."""

from collections.abc import Mapping
from typing import Any

from afina.report.formatting import less_error, pair


def count(n: int, noun: str) -> str:
    """Return a number followed by its noun, in the singular or plural.

    Example:
        >>> count(1, "row"), count(4454, "row")
        ('1 row', '4,454 rows')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def score_sentence(summary: Mapping[str, Any]) -> str:
    """Return a sentence with both scores, and a warning if the model is no better, or not tested.

    Args:
        summary: the content of `summary.json`.
    """
    score = summary["score"]
    value, baseline = score["value"], score["baseline"]
    ours, theirs = pair(value, baseline)
    what = score["baseline_is"]
    name = score["name"].replace("_", " ")
    if summary["on"] != "val":
        return (
            "No rows were held out, so it is not known how good the model is on new rows. On its "
            f"training rows, {name} is {ours}; the baseline's ({what}) is {theirs}."
        )
    less = less_error(value, baseline, higher_is_better=score["higher_is_better"])
    verdict = f": {less}." if less else ". The model is no better than the baseline."
    if score.get("caution"):
        verdict = "."  # it says so, on a line of its own
    return f"Validation {name} {ours}, against {theirs} for the baseline ({what}){verdict}"
