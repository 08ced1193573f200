"""Tunings: which parameters learn."""

from __future__ import annotations

from typing import ClassVar, Literal

from w2sweep.values import Count, Rate, value

Base = Literal["fp32", "bf16"]
"""What the weights of a frozen model are kept in. Its matrices compute in it too; logits and losses
are in fp32 either way."""


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
    base: Base = "fp32"
    """What the backbone is kept in. Adapters and head are in fp32."""

    added: ClassVar[frozenset[str]] = frozenset({"base"})

    def peak_lr(self, rung_lr: float) -> float:
        """The peak learning rate, for a rung whose own is `rung_lr`."""
        return rung_lr * self.lr_scale


@value
class LinearProbe:
    """The head alone, on cached features of the frozen backbone.

    The hyper-parameters of Burns et al. 2023, appendix D.2, come with `recipe=probe`.
    """

    lr: Rate = 1e-3
    base: Base = "fp32"
    """What the backbone is kept in while it computes the features, which are in fp32."""

    added: ClassVar[frozenset[str]] = frozenset({"base"})

    def peak_lr(self, rung_lr: float) -> float:
        """The probe's own learning rate: the rung's is for finetuning."""
        return self.lr


Tuning = Full | Lora | LinearProbe
