"""Trivial imitation: what is left of a student that is told its supervisor's labels?"""

from __future__ import annotations

from w2sweep.report.figures.two_ceilings import TwoCeilings


class Told(TwoCeilings):
    """Burns et al. 2023, appendix E.3."""

    name = "told"
    title = "Students that are told their supervisor's labels"
    second = "ceiling_told"
    hatched = "is told the labels"

    @property
    def says(self) -> str:
        return "a ceiling that reads the supervisor's label behind every text, as told students do"
