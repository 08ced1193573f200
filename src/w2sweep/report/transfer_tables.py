"""Tables of transfer on a page: the laws, and what pretraining changed."""

from __future__ import annotations

from statistics import fmean

from w2sweep.report.transfer import Gain, MixtureLaw, Transfers
from w2sweep.results.intervals import Estimate

Table = tuple[list[str], list[list[str]]]
"""Headings, and lines of text under them."""


def law_table(found: Transfers) -> Table:
    """A line a pretraining text."""
    headings = ["pretraining", "k", "alpha", "beta", "typical D_T", "at D_F", "at N"]
    headings += ["points", "seeds", "left out: below / above / D_T < 0"]
    return headings, [_law_line(law) for law in found.laws]


def gain_table(found: Transfers) -> Table:
    """A line for each pretraining text, rung and number of tokens."""
    headings = ["pretraining", "rung", "tokens", "pretrained", "from scratch", "difference"]
    return [*headings, "D_T", ""], [_gain_line(gain) for gain in found.gains]


def _law_line(of: MixtureLaw) -> list[str]:
    left = f"{of.below} / {of.above} / {of.negative}"
    if of.law is None:
        return [_named(of), *["too few points"], *[""] * 7, left]
    law = of.law
    fitted = [_interval(law.k, ".2g"), _interval(law.alpha, ".2f"), _interval(law.beta, ".2f")]
    typical = [_interval(law.typical, ",.0f"), f"{law.at[0]:,.0f}", f"{law.at[1]:,.0f}"]
    over = "" if law.seeds > 1 else " (intervals over points)"
    return [_named(of), *fitted, *typical, str(law.points), f"{law.seeds}{over}", left]


def _gain_line(gain: Gain) -> list[str]:
    pair = gain.pair
    losses = [f"{fmean(of.losses.values()):.3f}" for of in (pair.adapted, pair.scratch)]
    what = [pair.mixture, pair.adapted.rung, f"{gain.tokens:,}"]
    known = list(gain.transferred().values())
    transferred = f"{fmean(known):,.0f} ({len(known)} seeds)" if known else "beyond"
    worse = _interval(gain.worse, "+.3f")
    return [*what, *losses, worse, transferred, "ossified" if gain.ossified else ""]


def _named(of: MixtureLaw) -> str:
    return f"{of.task}, {of.mixture}" if of.mixture else of.task


def _interval(estimate: Estimate, form: str) -> str:
    if estimate.value is None:
        return ""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:{form}}"
    return f"{estimate.value:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"
