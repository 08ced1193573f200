"""One page of the paper's figures: what it found, what a set of sweeps shows, whether they
agree."""

from w2sweep.report.paper.findings import FINDINGS
from w2sweep.report.paper.page import write_paper

__all__ = ["FINDINGS", "write_paper"]
