"""Scaling laws of transfer, of a sweep whose method records the losses of pretrained models and of
models from scratch after the same tokens of a target text.

Hernandez et al. 2021, arXiv 2102.01293.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import fmean
from typing import Any, Literal

from w2sweep.report.heldout import HeldOut
from w2sweep.report.summary import SummaryRow
from w2sweep.report.variants import variant_text
from w2sweep.results.effective_data import (
    Effective,
    TransferLaw,
    Transferred,
    centre,
    effective_tokens,
    fit_transfer,
)
from w2sweep.results.intervals import Estimate, mean

TOKENS = "method.tokens"
"""The override that says how much of the target is read."""
ADAPTED, SCRATCH = "_adapted", "_scratch"
"""How names of language models end: pretrained, or begun with random weights."""
Place = tuple[str, str, str]
"""Task, ladder, and what was read in pretraining (`RungPair.mixture`)."""
Measure = Literal["loss", "error"]
"""What a model has to reach: its loss on the target, or its share of wrong answers on the task."""


@dataclass(frozen=True)
class RungPair:
    """A pretrained rung and the same rung from scratch, after the same tokens of the target."""

    task: str
    ladder: str
    mixture: str
    """What was read in pretraining: the overrides that are not the number of target tokens."""
    adapted: HeldOut
    scratch: HeldOut

    @property
    def place(self) -> Place:
        """What it has in common with all pairs that one law is fitted to."""
        return self.task, self.ladder, self.mixture

    @property
    def curve(self) -> tuple[str, str, str, str]:
        """What it has in common with the same rung's pairs after other numbers of tokens."""
        return *self.place, self.adapted.rung


@dataclass(frozen=True)
class Gain:
    """What pretraining changed for a rung that has read so much of the target."""

    pair: RungPair
    worse: Estimate
    """The pretrained model's loss minus that of the one from scratch, paired by seed."""
    effective: dict[int, Effective]
    """Seed -> D_E."""
    by_error: dict[int, Effective]
    """The same with the share of wrong answers on the task in place of the loss."""

    @property
    def tokens(self) -> int:
        """D_F."""
        return self.pair.adapted.tokens

    @property
    def ossified(self) -> bool:
        """Whether pretraining has made it worse, beyond what seeds differ."""
        return self.worse.low is not None and self.worse.low > 0

    def transferred(self, measure: Measure = "loss") -> dict[int, float]:
        """Seed -> D_T = D_E - D_F, where D_E is known; below zero where pretraining has cost."""
        found = self._found(measure).items()
        known = {seed: e.tokens for seed, e in found if e.tokens is not None}
        return {seed: tokens - self.tokens for seed, tokens in known.items()}

    def beyond(self, where: str, measure: Measure = "loss") -> int:
        """On how many seeds D_E lies below, or above, all that was measured."""
        return sum(e.beyond == where for e in self._found(measure).values())

    def _found(self, measure: Measure) -> dict[int, Effective]:
        return self.effective if measure == "loss" else self.by_error


@dataclass(frozen=True)
class MixtureLaw:
    """The law of one pretraining text, and which points it could not be fitted to."""

    task: str
    ladder: str
    mixture: str
    law: TransferLaw | None
    below: int
    """Points without D_E, for the fewest tokens from scratch do better."""
    above: int
    """Points without D_E, for the most tokens from scratch do not reach them."""
    negative: int
    """Points with D_T of zero or less, which has no logarithm."""


@dataclass(frozen=True)
class Transfers:
    """All that a sweep says of transfer."""

    gains: Sequence[Gain]
    """By mixture, rung and tokens."""
    laws: Sequence[MixtureLaw]

    @property
    def places(self) -> list[Place]:
        """Those of the laws, in their order."""
        return [(law.task, law.ladder, law.mixture) for law in self.laws]

    def of(self, place: Place) -> list[Gain]:
        """The gains of one task, ladder and mixture."""
        return [gain for gain in self.gains if gain.pair.place == place]

    @property
    def records(self) -> list[dict[str, Any]]:
        """A record a gain, for `transfer.csv`."""
        return [_gain_record(gain) for gain in self.gains]

    @property
    def law_records(self) -> list[dict[str, Any]]:
        """A record a mixture, for `transfer_laws.csv`."""
        return [_law_record(law) for law in self.laws]


def transfer(rows: Iterable[SummaryRow]) -> Transfers | None:
    """What these rows say of transfer; None where none of them has such language models."""
    pairs = _pairs(rows)
    if not pairs:
        return None
    curves: dict[tuple[str, str, str, str], list[RungPair]] = defaultdict(list)
    for pair in pairs:
        curves[pair.curve].append(pair)
    gains = [gain for curve in curves.values() for gain in _gains(curve)]
    by_place: dict[Place, list[Gain]] = defaultdict(list)
    for gain in gains:
        by_place[gain.pair.place].append(gain)
    read = [(float(gain.tokens), float(gain.pair.adapted.size)) for gain in gains if gain.tokens]
    at = centre(read) if read else None
    laws = [_law(place, of, at) for place, of in by_place.items()]
    return Transfers(list(chain.from_iterable(by_place.values())), laws)


def mixture(row: SummaryRow) -> str:
    """What the row's rungs read in pretraining: its overrides but for the target's tokens."""
    return variant_text(tuple(item for item in row.variant if item[0] != TOKENS))


def _pairs(rows: Iterable[SummaryRow]) -> list[RungPair]:
    """Each pair once: weak rungs are the same in several rows. Rungs weakest first."""
    found: dict[tuple[Any, ...], RungPair] = {}
    for row in rows:
        for name, adapted in row.language_models.items():
            scratch = row.language_models.get(name.removesuffix(ADAPTED) + SCRATCH)
            if not name.endswith(ADAPTED) or scratch is None:
                continue
            pair = RungPair(row.task, row.ladder, mixture(row), adapted, scratch)
            known = found.get((*pair.curve, adapted.tokens))
            # Of a rung that is a student here and a supervisor there, the one with accuracies.
            if known is None or not known.adapted.accuracies:
                found[*pair.curve, adapted.tokens] = pair
    return sorted(found.values(), key=lambda pair: (pair.adapted.size, pair.adapted.tokens))


def _gains(curve: Sequence[RungPair]) -> list[Gain]:
    """Of one rung and one mixture, after different numbers of tokens."""
    scratch = [pair.scratch for pair in curve]
    return [
        Gain(
            pair,
            _worse(pair),
            effective=_effective(scratch, pair.adapted, "loss"),
            by_error=_effective(scratch, pair.adapted, "error"),
        )
        for pair in curve
    ]


def _worse(pair: RungPair) -> Estimate:
    shared = sorted(pair.adapted.losses.keys() & pair.scratch.losses.keys())
    differences = [pair.adapted.losses[seed] - pair.scratch.losses[seed] for seed in shared]
    if len(shared) < 2:
        return Estimate(fmean(differences) if differences else None)
    return mean(differences, [0.0] * len(shared))


def _effective(
    scratch: Sequence[HeldOut], adapted: HeldOut, measure: Measure
) -> dict[int, Effective]:
    """Seed -> D_E of a pretrained model, on the curve of those from scratch."""
    found = {}
    for seed, goal in _measured(adapted, measure).items():
        curve = {of.tokens: _measured(of, measure).get(seed) for of in scratch}
        known = {tokens: reached for tokens, reached in curve.items() if reached is not None}
        read = {tokens: reached for tokens, reached in known.items() if tokens > 0}
        if read:
            found[seed] = effective_tokens(list(read), list(read.values()), goal)
    return found


def _measured(model: HeldOut, measure: Measure) -> dict[int, float]:
    if measure == "loss":
        return dict(model.losses)
    return {seed: 1 - accuracy for seed, accuracy in model.accuracies.items()}


def _law(place: Place, gains: Sequence[Gain], at: tuple[float, float] | None) -> MixtureLaw:
    read = [gain for gain in gains if gain.tokens > 0]
    points = [point for gain in read for point in _points(gain)]
    positive = [point for point in points if point.transferred > 0]
    below = sum(gain.beyond("below") for gain in read)
    above = sum(gain.beyond("above") for gain in read)
    negative = len(points) - len(positive)
    return MixtureLaw(*place, fit_transfer(positive, at), below, above, negative)


def _points(gain: Gain) -> list[Transferred]:
    size = gain.pair.adapted.size
    found = gain.transferred().items()
    return [Transferred(seed, size, gain.tokens, transferred) for seed, transferred in found]


def _gain_record(gain: Gain) -> dict[str, Any]:
    pair = gain.pair
    compute = 6.0 * pair.adapted.size
    record = {
        "task": pair.task,
        "ladder": pair.ladder,
        "pretraining": pair.mixture,
        "rung": pair.adapted.rung,
        "parameters": pair.adapted.size,
        "tokens": gain.tokens,
        "tokens_before": pair.adapted.before,
        "target_compute": compute * gain.tokens,
        "whole_compute": compute * (gain.tokens + pair.adapted.before),
        "seeds": len(pair.adapted.losses),
        "adapted_loss": fmean(pair.adapted.losses.values()),
        "scratch_loss": fmean(pair.scratch.losses.values()),
        "worse": gain.worse.value,
        "worse_low": gain.worse.low,
        "worse_high": gain.worse.high,
        "ossified": gain.ossified,
    }
    return record | _told(gain, "loss", "") | _told(gain, "error", "by_error_")


def _told(gain: Gain, measure: Measure, prefix: str) -> dict[str, Any]:
    """Mean D_T over the seeds where it is known, and on how many it is beyond what was measured."""
    known = list(gain.transferred(measure).values())
    return {
        f"{prefix}transferred": fmean(known) if known else None,
        f"{prefix}transferred_seeds": len(known),
        f"{prefix}below": gain.beyond("below", measure),
        f"{prefix}above": gain.beyond("above", measure),
    }


def _law_record(of: MixtureLaw) -> dict[str, Any]:
    record: dict[str, Any] = {"task": of.task, "ladder": of.ladder, "pretraining": of.mixture}
    if of.law:
        found = {name: getattr(of.law, name) for name in ("k", "alpha", "beta", "typical")}
        for name, estimate in found.items():
            record |= {name: estimate.value, f"{name}_low": estimate.low}
            record[f"{name}_high"] = estimate.high
        record |= {"typical_tokens": of.law.at[0], "typical_parameters": of.law.at[1]}
        record |= {"points": of.law.points, "seeds": of.law.seeds, "over": of.law.over}
    return record | {"below": of.below, "above": of.above, "negative": of.negative}
