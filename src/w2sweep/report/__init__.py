"""Reports of sweeps: tables, figures, and one page."""

from w2sweep.report.publishing import Report, report, show

__all__ = ["Report", "report", "show"]
