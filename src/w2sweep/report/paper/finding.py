"""Findings of the paper, and what the cells of a sweep say of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from w2sweep.results.intervals import Estimate
from w2sweep.results.sweep_folder import SweepFolder

Verdict = Literal["agrees", "agrees in part", "mixed", "disagrees", "cannot be told", "not run"]


@dataclass(frozen=True)
class Claim:
    """A number that by the paper has a sign."""

    says: str
    """What is measured and in which unit, such as "confidence over naive, points"."""
    sign: Literal[1, -1]
    measure: Callable[[SweepFolder], Mapping[str, Estimate]]
    """Task, or whatever else the number is of -> the number."""

    def judged(self, sweep: SweepFolder) -> Judged:
        """What a sweep says of it."""
        found = self.measure(sweep)
        known = {of: number for of, number in found.items() if number.value is not None}
        missing = [of for of in found if of not in known] if known else []
        numbers = [*known.values(), *(found[of] for of in missing)]
        return Judged(self, known, verdict(numbers, self.sign), missing)


@dataclass(frozen=True)
class Judged:
    """A claim, what was measured of it, task by task, and whether that agrees."""

    claim: Claim
    found: Mapping[str, Estimate]
    verdict: Verdict
    missing: Sequence[str] = ()
    """Tasks of the sweep that it is not known of, where it is known of others."""


@dataclass(frozen=True)
class Finding:
    """A figure of the paper, the sweep that makes it, and what the paper concludes from it."""

    title: str
    sweep: str
    """The name of its file in sweeps/."""
    figures: Sequence[str]
    """The kinds of figures that show it, by their names."""
    where: str
    """Of the paper."""
    paper: str
    """What the paper found, in a sentence."""
    claims: Sequence[Claim]
    limits: str = ""
    """What the lab cannot show of it, or shows otherwise than the paper measures it."""


def verdict(found: Sequence[Estimate], sign: int) -> Verdict:
    """Whether estimates have the sign that the paper found, by their 95 % intervals.

    An estimate is clear where its interval leaves out zero; one without a value is not. All clear
    and of that sign: they agree. Some clear, and all of those of that sign: they agree in part.
    Clear ones of both signs: mixed. None clear: it cannot be told.
    """
    if not found:
        return "not run"
    clear = [side for side in map(_side, found) if side]
    if not clear:
        return "cannot be told"
    for_it = clear.count(sign)
    if for_it == len(found):
        return "agrees"
    if for_it == len(clear):
        return "agrees in part"
    return "mixed" if for_it else "disagrees"


def _side(e: Estimate) -> int:
    """The sign of an estimate whose interval leaves out zero; else 0."""
    if e.low is None or e.high is None:
        return 0
    return 1 if e.low > 0 else -1 if e.high < 0 else 0
