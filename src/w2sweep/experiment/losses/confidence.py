"""The auxiliary confidence loss of Burns et al. 2023, and its form for small batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from w2sweep.experiment.losses.base import Loss, grown
from w2sweep.tasks.heads import Answers
from w2sweep.values import Fraction, value

if TYPE_CHECKING:
    from torch import Tensor


@value
class ConfidenceLoss(Loss):
    """(1 - a) CE(f, f_w) + a CE(f, 1[f > t]): the student may side with itself.

    f are the student's answers, f_w the weak labels. a grows linearly from 0 to `alpha_max` over
    the first `warmup` of training. t is set in each batch so that half of it is hardened to each
    class (`median`), or the share that the weak labels give to class 1 (`prior`). No gradient flows
    through the hardened labels. Burns et al. 2023, section 4.3.2 and appendix A.4, footnote 7.
    """

    separable: ClassVar[bool] = False  # the threshold is the whole batch's
    binary: ClassVar[bool] = True
    smallest_batch: ClassVar[int] = 2  # one example has no half

    alpha_max: Fraction = 0.5
    warmup: Fraction = 0.2
    threshold: Literal["median", "prior"] = "median"

    def __call__(self, logits: Tensor, targets: Tensor, progress: float) -> Tensor:
        from torch.nn.functional import cross_entropy

        a = self.alpha(progress)
        mixed = (1 - a) * targets + a * self.hardened(logits, targets)
        return cross_entropy(logits, mixed)

    def alpha(self, progress: float) -> float:
        """The weight of the student's own labels."""
        return grown(self.alpha_max, self.warmup, progress)

    def hardened(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The student's own labels 1[f > t], one-hot: [B, 2], [B, 2] -> [B, 2].

        The first of the batch's examples by f are of class 1. Of equal f, the one whose weak label
        says more for class 1 comes first, and then the one that stands first in the batch.
        """
        from torch.nn.functional import one_hot

        f = (logits[:, 1] - logits[:, 0]).detach()
        weak = targets[:, 1]
        by_label = weak.argsort(descending=True, stable=True)
        falling = by_label[f[by_label].argsort(descending=True, stable=True)]
        hard = falling.new_zeros(len(f))
        hard[falling[: self._positives(weak[falling])]] = 1
        return one_hot(hard, 2).to(targets.dtype)

    def _positives(self, weak: Tensor) -> int:
        """How many examples are hardened to class 1; `weak`: what the weak labels say for it, in
        the order of f [B]. The middle one of an odd batch goes where its weak label says."""
        if self.threshold == "prior":
            return round(float(weak.sum()))
        examples = len(weak)
        if examples % 2 == 0:
            return examples // 2
        return examples // 2 + int(weak[examples // 2] > 0.5)

    def coefficients(self, progress: float) -> dict[str, float]:
        return {"alpha": self.alpha(progress)}


@value
class BufferedConfidence(Loss):
    """The confidence loss with a threshold over the last `buffer` answers in place of the batch's:
    (1 - a) CE(f, f_w) + a CE(f, 1[f > t]), t the quantile of these answers above which lies the
    share of class 1, a half or what the weak labels say.

    EleutherAI, w2s (w2s/loss.py, a buffer of 32), for batches too small to have a half. There the
    share is that of the labels in the micro-batch at hand, which for a single example is the label
    itself, so that it is 1/2 by decree; here it is that of all labels. Its buffer also grows
    without end: what is cut to size is a copy.
    """

    separable: ClassVar[bool] = (
        False  # the threshold is the whole batch's, and that of earlier ones
    )
    binary: ClassVar[bool] = True
    remembers: ClassVar[bool] = True

    alpha_max: Fraction = 0.5
    warmup: Fraction = 0.2
    threshold: Literal["median", "prior"] = "median"
    buffer: Annotated[int, Field(ge=2)] = 32
    """How many answers, those of the batch at hand included."""

    def knowing(self, labels: Answers) -> Loss:
        """What one model minimizes, whose answers it remembers; `labels`: [N, 2]."""
        import numpy as np

        from w2sweep.learning.buffered import Buffered

        prior = float(np.asarray(labels)[:, 1].mean())
        return Buffered(self, 0.5 if self.threshold == "median" else prior)

    def __call__(self, logits: Tensor, targets: Tensor, progress: float) -> Tensor:
        raise ValueError("expected a loss of one training: Loss.knowing comes first")

    def coefficients(self, progress: float) -> dict[str, float]:
        return {"alpha": grown(self.alpha_max, self.warmup, progress)}
