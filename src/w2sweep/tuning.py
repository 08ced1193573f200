"""Tunings: which parameters learn."""

from __future__ import annotations

from w2sweep.values import Count, Rate, value


@value
class Full:
    """All parameters."""

    lr_scale: Rate = 1.0
    """Multiplies the rung's learning rate."""


@value
class Lora:
    """Low-rank adapters on every linear layer of the backbone, and the head. Hu et al. 2021; by PEFT."""

    rank: Count = 8
    alpha: Count = 16
    lr_scale: Rate = 10.0
    """Adapters want a larger learning rate than full finetuning."""


@value
class LinearProbe:
    """The head alone, on the frozen backbone's cached features. Hyper-parameters of Burns et al. 2023, appendix D.2,
    come with `recipe=probe`."""

    lr: Rate = 1e-3


Tuning = Full | Lora | LinearProbe
