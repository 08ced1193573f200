"""Tunings: which parameters learn."""

from __future__ import annotations

from w2sweep.values import Count, Rate, value


@value
class Full:
    """All parameters."""

    lr_scale: Rate = 1.0
    """Multiplies the rung's learning rate."""

    def peak_lr(self, rung_lr: float) -> float:
        """The peak learning rate, for a rung whose own is `rung_lr`."""
        return rung_lr * self.lr_scale


@value
class Lora:
    """Low-rank adapters on every linear layer of the backbone, and the head.

    Hu et al. 2021; by PEFT.
    """

    rank: Count = 8
    alpha: Count = 16
    lr_scale: Rate = 10.0
    """Adapters want a larger learning rate than full finetuning."""

    def peak_lr(self, rung_lr: float) -> float:
        """The peak learning rate, for a rung whose own is `rung_lr`."""
        return rung_lr * self.lr_scale


@value
class LinearProbe:
    """The head alone, on cached features of the frozen backbone.

    The hyper-parameters of Burns et al. 2023, appendix D.2, come with `recipe=probe`.
    """

    lr: Rate = 1e-3

    def peak_lr(self, rung_lr: float) -> float:
        """The probe's own learning rate: the rung's is for finetuning."""
        return self.lr


Tuning = Full | Lora | LinearProbe
