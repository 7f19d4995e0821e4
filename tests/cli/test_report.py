"""afina report."""

import subprocess
from collections.abc import Callable

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_report(fitted, afina_here: Run) -> None:
    """The report is written again, into the run or elsewhere, and its path is printed."""
    inside = fitted.folder / "a run" / "report.html"
    inside.unlink()

    first, second = (
        afina_here("report", "a run"),
        afina_here("report", "a run", "--out", "page.html"),
    )

    assert (0, "a run/report.html\n", "") == (first.returncode, first.stdout, first.stderr)
    assert (0, "page.html\n", "") == (second.returncode, second.stdout, second.stderr)
    assert inside.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert (fitted.folder / "page.html").stat().st_size > 10_000
