"""The power law that losses along a ladder follow or do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from w2sweep.analyses.heldout_losses import HeldOutLosses

ENOUGH = 4
"""Rungs for a fit: three of them would be met exactly, whatever their losses."""
EXPONENTS = np.geomspace(0.01, 4, 1000)
"""[B], which are tried."""


@dataclass(frozen=True)
class PowerLaw:
    """L(x) = floor + scale (x / start)^-exponent."""

    floor: float
    """What no model could do without: the entropy of the text, if the law is true."""
    scale: float
    exponent: float
    start: float
    """x of the first rung."""

    def __call__(self, x: ArrayLike) -> NDArray[np.float64]:
        """The law's losses at `x`, in the shape of `x`."""
        return self.floor + self.scale * (np.asarray(x, float) / self.start) ** -self.exponent

    @staticmethod
    def fit(x: ArrayLike, loss: ArrayLike) -> PowerLaw | None:
        """Least squares with floor >= 0; None for fewer than four rungs.

        Given the exponent, floor and scale are a linear regression.

        Args:
            x: [R], what loss is a function of, such as parameters.
            loss: [R].
        """
        x, loss = np.asarray(x, float), np.asarray(loss, float)
        if len(np.unique(x)) < ENOUGH:
            return None
        powers = (x / x.min()) ** -EXPONENTS[:, None]  # [B, R]
        lines = np.array([_line(power, loss) for power in powers])  # [B, 2]
        fitted = lines[:, :1] + lines[:, 1:] * powers
        best = int(np.argmin(((fitted - loss) ** 2).sum(1)))
        floor, scale = lines[best].tolist()
        return PowerLaw(floor, scale, float(EXPONENTS[best]), float(x.min()))


@dataclass(frozen=True)
class Scaling:
    """A power law beside the losses that it was fitted to, averaged over seeds."""

    axis: str
    x: NDArray[np.float64]
    """[R]"""
    losses: HeldOutLosses
    law: PowerLaw

    @staticmethod
    def of(losses: HeldOutLosses, axis: Literal["parameters", "compute"]) -> Scaling | None:
        """The losses against one of their axes; None where the rungs are too few."""
        x = getattr(losses, axis)
        law = PowerLaw.fit(x, losses.mean)
        return law and Scaling(axis, x, losses, law)

    @property
    def residuals(self) -> NDArray[np.float64]:
        """[R], mean losses minus the law."""
        return self.losses.mean - self.law(self.x)

    @property
    def r2(self) -> float:
        """The share of the variance between rungs that the law explains."""
        deviations = self.losses.mean - self.losses.mean.mean()
        return float(1 - (self.residuals**2).sum() / (deviations**2).sum())

    @property
    def missed(self) -> float:
        """Root mean square of the residuals, over the degrees of freedom that the law's three
        parameters leave."""
        return float(np.sqrt((self.residuals**2).sum() / (len(self.x) - 3)))

    @property
    def spread(self) -> float | None:
        """Root mean square of the rungs' standard deviations over seeds; None with one seed."""
        spread = self.losses.spread
        return None if spread is None else float(np.sqrt((spread**2).mean()))

    @property
    def verdict(self) -> str:
        """Whether it is a power law within noise, in a sentence."""
        missed = f"{self._formula}; rungs miss it by {self.missed:.4f} nats"
        if self.spread is None:
            return f"{missed}, and one seed cannot say whether that is noise"
        ratio = self.missed / self.spread
        within = "a power law within noise" if ratio <= 1 else "more than noise: no exact power law"
        differs = f"{ratio:.1f} times what one seed differs from another ({self.spread:.4f})"
        return f"{missed}, {differs}: {within}"

    @property
    def _formula(self) -> str:
        law = self.law
        power = f"(x / {law.start:.3g})^-{law.exponent:.3f}"
        return f"L = {law.floor:.3f} + {law.scale:.3f} {power}, R² {self.r2:.4f}"

    @property
    def record(self) -> dict[str, Any]:
        """A record for `scaling.csv`, with a column of residuals a rung."""
        residuals = zip(self.losses.rungs, self.residuals.tolist(), strict=True)
        return {
            "axis": self.axis,
            "floor": self.law.floor,
            "scale": self.law.scale,
            "start": self.law.start,
            "exponent": self.law.exponent,
            "r2": self.r2,
            "missed": self.missed,
            "spread": self.spread,
            **{f"residual_{rung}": residual for rung, residual in residuals},
        }


def _line(f: NDArray[np.float64], loss: NDArray[np.float64]) -> tuple[float, float]:
    """Floor and scale of the least squares of floor + scale f, floor >= 0; f and loss are [R]."""
    scale = float(np.cov(f, loss, bias=True)[0, 1] / f.var())
    floor = float(loss.mean() - scale * f.mean())
    return (floor, scale) if floor >= 0 else (0.0, float(f @ loss / (f @ f)))
