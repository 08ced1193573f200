"""Optimizers: what is kept of each parameter, and how weights in bf16 are stepped."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from w2sweep.experiment.recipe import OptimizerName

Groups = list[dict[str, Any]]
"""Parameter groups, each with its `lr`."""
Make = Callable[[Groups], Optimizer]
ROUNDED_AT_ONCE = 2**24
"""Numbers: the random bits for more of them would fill the memory that bf16 saves."""


def optimizer_of(
    name: OptimizerName, groups: Groups, betas: tuple[float, float], weight_decay: float
) -> Optimizer:
    """The optimizer of this name; weights in bf16 it sees in fp32, and they are rounded at
    random."""
    make = partial(_made, name, betas, weight_decay)
    low = any(p.dtype is torch.bfloat16 for group in groups for p in group["params"])
    return Rounding(groups, make) if low else make(groups)


def _made(
    name: OptimizerName, betas: tuple[float, float], weight_decay: float, groups: Groups
) -> Optimizer:
    if name == "adafactor":
        # With an eps2 of 1 the rate is that of each number, as AdamW's is. By default it is
        # relative to the size of the weights, and a head that starts at zero would stay there.
        return torch.optim.Adafactor(groups, eps=(None, 1.0), weight_decay=weight_decay)
    if name == "adamw":
        options = {"betas": betas, "weight_decay": weight_decay}
        return torch.optim.AdamW(groups, fused=True, **options)
    with warnings.catch_warnings():  # of what it could do on other machines
        warnings.simplefilter("ignore")
        eight_bit = importlib.import_module("bitsandbytes.optim")  # an optional extra
    return eight_bit.AdamW8bit(groups, betas=betas, weight_decay=weight_decay)


class Rounding(Optimizer):
    """Steps each parameter by an optimizer of its own, which sees it and its gradient in fp32.

    The result is rounded to bf16 up or down at random, so that it is right on average: rounded to
    the nearest, updates below a 256th of a weight would be lost one and all. The noise follows from
    the number of the step. Parameters in fp32 are stepped as they are.

    Args:
        groups: of parameters in bf16 or fp32.
        make: the optimizer of one group.
    """

    def __init__(self, groups: Groups, make: Make):
        super().__init__(groups, {})
        self.inner: dict[nn.Parameter, Optimizer] = {}
        for group in self.param_groups:
            for p in group["params"]:
                wide = nn.Parameter(torch.empty(0, dtype=torch.float32, device=p.device))
                self.inner[p] = make([{**group, "params": [wide]}])

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step of all parameters that have a gradient."""
        numbers = {p: number for number, p in enumerate(self.inner)}
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._step(p, group["lr"], numbers[p])

    def _step(self, p: nn.Parameter, lr: float, number: int) -> None:
        assert p.grad is not None
        optimizer = self.inner[p]
        inner = optimizer.param_groups[0]
        wide = inner["params"][0]
        inner["lr"] = lr
        optimizer.state[wide] = self.state[p]
        wide.data, wide.grad = p.float(), p.grad.float()
        optimizer.step()
        if p.dtype is torch.bfloat16:
            steps = int(self.state[p]["step"])
            round_at_random(wide.data, p, (steps << 20) + number)
        wide.data, wide.grad = torch.empty(0, device=p.device), None


def round_at_random(of: Tensor, into: Tensor, seed: int) -> None:
    """Writes fp32 numbers as bf16 into a tensor of the same shape, each up with the probability of
    how far up it is between its two neighbours. `of` is overwritten."""
    generator = torch.Generator(of.device).manual_seed(seed)
    bits = of.view(-1).view(torch.int32)
    for part in bits.split(ROUNDED_AT_ONCE):
        noise = torch.empty_like(part).random_(2**16, generator=generator)
        part.add_(noise).bitwise_and_(-(2**16))  # bf16 is the upper half of fp32
    into.copy_(of)


def slots_of(optimizer: Optimizer, p: nn.Parameter) -> dict[str, Tensor]:
    """What the optimizer keeps of a parameter, by name; nothing before its first step."""
    state = optimizer.state[p]
    return {slot: torch.as_tensor(held) for slot, held in state.items()}


def shapes_of_slots(optimizer: Optimizer, p: nn.Parameter) -> dict[str, torch.Size]:
    """The shapes of what the optimizer keeps of a parameter, once it has stepped it."""
    once, same = torch.Size(), p.shape
    kind = optimizer.inner[p] if isinstance(optimizer, Rounding) else optimizer
    if isinstance(kind, torch.optim.AdamW):
        return {"step": once, "exp_avg": same, "exp_avg_sq": same}
    if isinstance(kind, torch.optim.Adafactor):
        if p.ndim < 2:
            return {"step": once, "variance": same}
        row, column = (*same[:-1], 1), (*same[:-2], 1, same[-1])
        return {"step": once, "row_var": torch.Size(row), "col_var": torch.Size(column)}
    shapes = {"step": once, "state1": same, "state2": same}
    if p.numel() >= 4096:  # it keeps less than that in fp32
        table, scales = torch.Size([256]), torch.Size([-(-p.numel() // 256)])
        shapes |= {"qmap1": table, "qmap2": table, "absmax1": scales, "absmax2": scales}
    return shapes


def put_back(optimizer: Optimizer, p: nn.Parameter, slots: Mapping[str, Tensor]) -> None:
    """Gives the optimizer what it kept of a parameter."""
    step_is_number = "state1" in slots
    for slot, tensor in slots.items():
        if slot != "step":
            optimizer.state[p][slot] = tensor.to(p.device)
        elif step_is_number:
            optimizer.state[p][slot] = int(tensor)
        else:  # on the device where the step is fused, which is AdamW's
            fused = "exp_avg" in slots
            optimizer.state[p][slot] = tensor.to(p.device) if fused else tensor
