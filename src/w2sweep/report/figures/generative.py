"""Generative finetuning: does it help a student to read its texts first?"""

from __future__ import annotations

from w2sweep.report.figures.two_ceilings import TwoCeilings


class Generative(TwoCeilings):
    """Burns et al. 2023, section 5.2.2, figure 18."""

    name = "generative"
    title = "Generative finetuning"
    second = "ceiling_generative"
    hatched = "has read the texts"

    @property
    def says(self) -> str:
        return (
            "supervisors and ceilings with a first phase, in which they read the texts as language "
            "models"
        )
