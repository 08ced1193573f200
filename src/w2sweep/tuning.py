"""Tunings: which parameters learn."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from w2sweep.values import value


@value
class Full:
    """All parameters."""

    lr_scale: Annotated[float, Field(gt=0)] = 1.0
    """Multiplies the rung's learning rate."""


@value
class Lora:
    """Low-rank adapters on every linear layer of the backbone, and the head. Hu et al. 2021; by PEFT."""

    rank: Annotated[int, Field(gt=0)] = 8
    alpha: Annotated[int, Field(gt=0)] = 16
    lr_scale: Annotated[float, Field(gt=0)] = 10.0
    """Adapters want a larger learning rate than full finetuning."""


@value
class LinearProbe:
    """The head alone, on the frozen backbone's cached features. Hyper-parameters of Burns et al. 2023, appendix D.2,
    come with `recipe=probe`."""

    lr: Annotated[float, Field(gt=0)] = 1e-3


Tuning = Full | Lora | LinearProbe
