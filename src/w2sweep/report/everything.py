"""All that a report is made by, for a process that has time to import it before it reports."""

from __future__ import annotations

import rich.console  # noqa: F401

import w2sweep.report.sweep_page
import w2sweep.report.table  # noqa: F401
from w2sweep.report.figures import kinds
from w2sweep.results.intervals import of_error

kinds()  # which finds the modules of all figures
of_error(0.0, 1.0, freedom=1)  # which imports the distributions that intervals are made of
