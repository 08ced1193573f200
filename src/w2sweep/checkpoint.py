"""Checkpoints: all that a killed training needs to go on as if nothing had happened. Safetensors, no pickle."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

log = logging.getLogger(__name__)


@dataclass
class State:
    """Where a training run is."""

    step: int = 0
    curves: list[dict] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    """Of the steps since the last row of the curves."""
    best_score: float = float("-inf")
    best: dict[str, Tensor] = field(default_factory=dict)
    """The learned parameters at the best evaluation, where one is kept."""


def learned(net: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that learn, by name."""
    return {name: p for name, p in net.named_parameters() if p.requires_grad}


def save(path: Path, state: State, net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Writes one file, whole or not at all. The order of the data needs no record: it follows from seed and step."""
    tensors = {f"net/{name}": p.detach() for name, p in learned(net).items()}
    tensors |= {f"best/{name}": p for name, p in state.best.items()}
    for name, p in learned(net).items():
        tensors |= {f"optimizer/{name}/{k}": v for k, v in optimizer.state[p].items()}
    numbers = {"step": state.step, "curves": state.curves, "losses": state.losses, "best_score": state.best_score}
    temporary = path.with_suffix(".tmp")
    try:
        save_file({k: v.contiguous() for k, v in tensors.items()}, temporary, metadata={"state": json.dumps(numbers)})
    except SafetensorError:  # most often a full disk, which the half file would keep full
        temporary.unlink(missing_ok=True)
        raise
    temporary.replace(path)


def restore(path: Path, net: nn.Module, optimizer: torch.optim.Optimizer) -> State:
    """The state saved at `path`, with the parameters and the optimizer put back; a fresh one where there is none,
    or where a power cut left a part of one."""
    if not path.exists():
        return State()
    try:
        opened = safe_open(path, "pt")
    except SafetensorError as error:
        log.warning("%s is damaged (%s): training starts again", path, error)
        return State()
    parameters = learned(net)
    with opened as file:
        state = State(**json.loads(file.metadata()["state"]))
        for key in file.keys():  # noqa: SIM118 (safe_open is no dict)
            kind, name = key.split("/", 1)
            if kind == "best":
                state.best[name] = file.get_tensor(key)
            elif kind == "net":
                parameters[name].data.copy_(file.get_tensor(key))
            else:
                name, slot = name.rsplit("/", 1)
                p, value = parameters[name], file.get_tensor(key)
                optimizer.state[p][slot] = value if slot == "step" else value.to(p.device)
    return state
