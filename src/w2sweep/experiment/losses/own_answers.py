"""Losses in which the student's own answers have a say, without a threshold over the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from w2sweep.experiment.losses.base import Loss, as_probabilities, grown
from w2sweep.values import Fraction, Rate, value

if TYPE_CHECKING:
    from torch import Tensor


@value
class AdaptConf(Loss):
    """(1 - b) KL(q || p) + b CE(p, y_p), where y_p and y_q are the likeliest classes of student and
    weak label, and b = exp(CE(p, y_p) / t) / (exp(CE(p, y_p) / t) + exp(CE(p, y_q) / t)), through
    which no gradient flows. Of any K.

    Guo et al. 2024, arXiv 2402.03749; code ggjy/vision_weak_to_strong
    (classification/distillers/adaptconf.py), whose t is 0.5. Formula and code agree, but mind what
    they do: CE(p, y_p) never exceeds CE(p, y_q), so that b is at most 1/2, which it is where the
    two agree, and falls towards 0 the surer the student is of another class than the supervisor.
    A student that is right against its supervisor is told so less, not more.
    """

    temperature: Rate = 0.5

    def __call__(self, logits: Tensor, targets: Tensor, progress: float = 1.0) -> Tensor:
        import torch
        from torch.nn.functional import cross_entropy

        q = as_probabilities(targets, logits)
        own = cross_entropy(logits, logits.argmax(-1), reduction="none")
        supervisors = cross_entropy(logits, q.argmax(-1), reduction="none")
        b = ((own - supervisors) / self.temperature).sigmoid().detach()
        divergence = (torch.xlogy(q, q) - q * logits.log_softmax(-1)).sum(-1)
        return ((1 - b) * divergence + b * own).mean()


@value
class ProductLabels(Loss):
    """CE(p, t), where t is proportional to p^b q^a, and no gradient flows through it.

    Burns et al. 2023, appendix B: a = b = 1, which helped on two tasks, and the geometric mean,
    a = b = 1/2, which did not. With a = b = 1 the gradient vanishes only where the student is
    certain, so that it goes on towards hard labels; with the geometric mean it vanishes where p is
    q, as that of cross-entropy does. Code (openai/weak-to-strong, `product_loss_fn`) multiplies the
    probabilities: where they underflow, it divides zero by zero. It takes a warm-up that it does
    not use.
    """

    soft: ClassVar[bool] = True

    weak: Annotated[float, Field(ge=0)] = 1.0
    """a, the power of the weak labels."""
    own: Annotated[float, Field(ge=0)] = 1.0
    """b, the power of the student's answers."""

    def __call__(self, logits: Tensor, targets: Tensor, progress: float = 1.0) -> Tensor:
        import torch
        from torch.nn.functional import cross_entropy

        log_p = logits.detach().log_softmax(-1)
        log_q = targets.clamp_min(torch.finfo(targets.dtype).tiny).log()
        mixed = self.own * log_p + self.weak * log_q
        return cross_entropy(logits, mixed.softmax(-1))


@value
class EntropyLoss(Loss):
    """(1 - a) CE(p, q) + a H(p), where a grows linearly from 0 to `alpha_max` over the first
    `warmup` of training: the student is to be sure, of whatever it is.

    The gradient flows through H: with respect to the logits that of H is -p_k (log p_k + H). Public
    code (EleutherAI/w2s, w2s/loss.py with `harden=False`) detaches p where it is a label,
    CE(p, (1 - a) q + a sg(p)), whose gradient is (1 - a) (p - q): cross-entropy with a smaller
    learning rate, and so its published negative says nothing of entropy. Burns et al. 2023,
    appendix B, print p log p + (1 - p) log(1 - p), which is -H: to minimize that makes a student
    unsure.
    """

    alpha_max: Fraction = 0.5
    warmup: Fraction = 0.2

    def __call__(self, logits: Tensor, targets: Tensor, progress: float) -> Tensor:
        from torch.nn.functional import cross_entropy

        a, log_p = self.coefficients(progress)["alpha"], logits.log_softmax(-1)
        entropy = -(log_p.exp() * log_p).sum(-1).mean()
        return (1 - a) * cross_entropy(logits, targets) + a * entropy

    def coefficients(self, progress: float) -> dict[str, float]:
        return {"alpha": grown(self.alpha_max, self.warmup, progress)}
