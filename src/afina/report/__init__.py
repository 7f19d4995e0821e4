"""The report: one HTML file about a run folder. It opens offline.

The report is made from the run folder alone and never touches a live trainer. The chart
library is imported when the first report is written.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from afina.report.page import write_report

__all__ = ["write_report"]


def __getattr__(name: str) -> Any:
    """Import the page, and with it the chart library, on first use."""
    if name != "write_report":
        raise AttributeError(f"module 'afina.report' has no attribute {name!r}")
    from afina.report.page import write_report  # noqa: PLC0415 - loads the chart library

    return write_report
