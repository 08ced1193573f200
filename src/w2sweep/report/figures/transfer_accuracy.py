"""Accuracy on the task after finetuning, pretrained and from scratch."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from w2sweep.report.figures.captions import errors
from w2sweep.report.figures.style import FAINT
from w2sweep.report.figures.transfer_plot import TransferPlot, both, line, mean_and_error
from w2sweep.report.transfer import Gain, MixtureLaw, mixture


class TransferAccuracy(TransferPlot):
    """Test accuracy on the task after so many tokens of the target, pretrained and from scratch."""

    name = "transfer_accuracy"
    order = 5
    title = "Accuracy on the task after so many tokens of the target"
    ylabel = "test accuracy (%)"

    @property
    def shows(self) -> bool:
        return any(gain.pair.adapted.accuracies for gain in self.found.gains)

    @property
    def drawn(self) -> list[str]:
        """The rungs that are students somewhere: of others no accuracy is known."""
        tested = {g.pair.adapted.rung for g in self.found.gains if g.pair.adapted.accuracies}
        return [rung for rung in self.rungs if rung in tested]

    def panel(self, ax: Axes, law: MixtureLaw, gains: Sequence[Gain]) -> None:
        for rung, of in self.by_rung(gains).items():
            for models, style in both(of):
                tested = [m for m in models if m.accuracies and m.tokens > 0]
                points = [(m.tokens, *mean_and_error(m.accuracies)) for m in tested]
                percent = [(x, 100 * y, 100 * error) for x, y, error in points]
                if percent:
                    line(ax, percent, color=self.color(rung), **style)
            self._unadapted(ax, law, rung)
        self.token_axis(ax, gains)

    def _unadapted(self, ax: Axes, law: MixtureLaw, rung: str) -> None:
        """A line at what the pretrained rung reaches that has read nothing of the target."""
        of = [r for r in self.rows if (r.task, r.ladder, r.strong) == (law.task, law.ladder, rung)]
        same = [r for r in of if mixture(r) == law.mixture]
        if same:
            level = 100 * same[0].ceiling_accuracy
            ax.axhline(level, color=self.color(rung), ls=":", lw=1.0)

    def legend(self) -> list[Line2D]:
        unadapted = Line2D([], [], color=FAINT, ls=":", label="pretrained, without target text")
        return [*super().legend(), unadapted]

    @property
    def caption(self) -> str:
        return (
            "Test accuracy after finetuning on the ground truth, of rungs that have read the "
            "target before, pretrained and from scratch. Dotted: pretrained, and nothing read of "
            f"the target. {errors(self.rows)}."
        )
