"""Held-out losses along a ladder, and the power law that they follow or do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

ENOUGH = 4
"""Rungs for a fit: three of them would be met exactly, whatever their losses."""
EXPONENTS = np.geomspace(0.01, 4, 1000)


@dataclass(frozen=True)
class Losses:
    """Of every rung, in every seed."""

    rungs: Sequence[str]
    """Weakest first."""
    seeds: Sequence[int]
    parameters: NDArray[np.float64]  # [R], without embeddings
    tokens: NDArray[np.float64]  # [R]
    compute: NDArray[np.float64]  # [R], FLOPs of pretraining
    loss: NDArray[np.float64]  # [R, S], nats a token

    @property
    def mean(self) -> NDArray[np.float64]:  # [R]
        return self.loss.mean(1)

    @property
    def spread(self) -> NDArray[np.float64] | None:  # [R]
        """Standard deviation over seeds; None where there is one."""
        return self.loss.std(1, ddof=1) if self.loss.shape[1] > 1 else None

    @property
    def records(self) -> list[dict[str, Any]]:
        """A row a rung and seed."""
        return [
            {"rung": rung, "seed": seed, "parameters": int(self.parameters[r]), "tokens": int(self.tokens[r]),
             "compute": self.compute[r], "heldout_loss": self.loss[r, s]}
            for r, rung in enumerate(self.rungs) for s, seed in enumerate(self.seeds)
        ]  # fmt: skip


@dataclass(frozen=True)
class PowerLaw:
    """L(x) = floor + scale (x / x_first)^-exponent."""

    floor: float
    """What no model could do without: the entropy of the text, if the law is true."""
    scale: float
    exponent: float
    start: float
    """x of the first rung."""

    def __call__(self, x: ArrayLike) -> NDArray[np.float64]:
        return self.floor + self.scale * (np.asarray(x, float) / self.start) ** -self.exponent

    @staticmethod
    def fit(x: ArrayLike, loss: ArrayLike) -> PowerLaw | None:
        """Least squares with floor >= 0; None for fewer than four rungs. x, loss: [R]."""
        x, loss = np.asarray(x, float), np.asarray(loss, float)
        if len(np.unique(x)) < ENOUGH:
            return None
        fits = [
            (x / x.min()) ** -b for b in EXPONENTS
        ]  # given the exponent, floor and scale are a linear regression
        lines = [_line(f, loss) for f in fits]
        errors = [
            ((floor + scale * f - loss) ** 2).sum()
            for (floor, scale), f in zip(lines, fits, strict=True)
        ]
        best = int(np.argmin(errors))
        return PowerLaw(*lines[best], float(EXPONENTS[best]), float(x.min()))


@dataclass(frozen=True)
class Scaling:
    """A power law beside the losses that it was fitted to, averaged over seeds."""

    axis: str
    x: NDArray[np.float64]  # [R]
    losses: Losses
    law: PowerLaw

    @staticmethod
    def of(losses: Losses, axis: str) -> Scaling | None:
        """Against `parameters` or `compute`; None where the rungs are too few."""
        x = getattr(losses, axis)
        law = PowerLaw.fit(x, losses.mean)
        return law and Scaling(axis, x, losses, law)

    @property
    def residuals(self) -> NDArray[np.float64]:  # [R]
        return self.losses.mean - self.law(self.x)

    @property
    def r2(self) -> float:
        """The share of the variance between rungs that the law explains."""
        return float(
            1
            - (self.residuals**2).sum() / ((self.losses.mean - self.losses.mean.mean()) ** 2).sum()
        )

    @property
    def missed(self) -> float:
        """Root mean square of the residuals, over the degrees of freedom that three parameters leave."""
        return float(np.sqrt((self.residuals**2).sum() / (len(self.x) - 3)))

    @property
    def spread(self) -> float | None:
        """Root mean square of the rungs' standard deviations over seeds."""
        spread = self.losses.spread
        return None if spread is None else float(np.sqrt((spread**2).mean()))

    @property
    def verdict(self) -> str:
        """Whether it is a power law within noise, in a sentence."""
        law = self.law
        fitted = f"L = {law.floor:.3f} + {law.scale:.3f} (x / {law.start:.3g})^-{law.exponent:.3f}, R² {self.r2:.4f}"
        if self.spread is None:
            return f"{fitted}; rungs miss it by {self.missed:.4f} nats, and one seed cannot say whether that is noise"
        ratio = self.missed / self.spread
        within = "a power law within noise" if ratio <= 1 else "more than noise: no exact power law"
        return (
            f"{fitted}; rungs miss it by {self.missed:.4f} nats, {ratio:.1f} times what one seed differs from another "
            f"({self.spread:.4f}): {within}"
        )

    @property
    def record(self) -> dict[str, Any]:
        """A row, with a column of residuals a rung."""
        law = self.law
        residuals = {
            f"residual_{r}": float(x)
            for r, x in zip(self.losses.rungs, self.residuals, strict=True)
        }
        return {"axis": self.axis, "floor": law.floor, "scale": law.scale, "start": law.start,
                "exponent": law.exponent, "r2": self.r2, "missed": self.missed, "spread": self.spread,
                **residuals}  # fmt: skip


def _line(f: NDArray[np.float64], loss: NDArray[np.float64]) -> tuple[float, float]:
    """Least squares of floor + scale f, floor >= 0."""
    scale = float(np.cov(f, loss, bias=True)[0, 1] / f.var())
    floor = float(loss.mean() - scale * f.mean())
    return (floor, scale) if floor >= 0 else (0.0, float(f @ loss / (f @ f)))
