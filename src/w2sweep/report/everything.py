"""All that a report is made by, for a process that has time to import it before it reports."""

from __future__ import annotations

import rich.console  # noqa: F401
import scipy.special  # noqa: F401

import w2sweep.report.sweep_page
import w2sweep.report.table  # noqa: F401
from w2sweep.report.figures import kinds

kinds()  # which finds the modules of all figures
