"""The report: one HTML file about a run folder. It opens offline.

The report is made from the run folder alone and never touches a live trainer. The chart
library is imported when the first report is written.
"""

from typing import TYPE_CHECKING

from afina.lazy import import_on_use

if TYPE_CHECKING:
    from afina.report.page import write_report
else:
    __getattr__ = import_on_use(__name__, page=["write_report"])

__all__ = ["write_report"]
