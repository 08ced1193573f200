"""Checkpoints: all that a killed training needs to go on as if nothing had happened.

Safetensors, no pickle.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from w2sweep.engine.files import replacing
from w2sweep.tasks.heads import Answers

log = logging.getLogger(__name__)


@dataclass
class State:
    """Where a training run is."""

    step: int = 0
    curves: list[dict[str, Any]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    """Of the steps since the last row of the curves."""
    first_loss: float = 0.0
    """Of the first step, before anything was learned."""
    answers: dict[int, Mapping[str, Answers]] = field(default_factory=dict)
    """Step of an evaluation -> split -> what was answered."""
    best_score: float = float("-inf")
    best_step: int = 0
    """Of the evaluation that is kept, where one is."""
    best: dict[str, Tensor] = field(default_factory=dict)
    """The learned parameters at that step."""


NUMBERS = ("step", "curves", "losses", "first_loss", "best_score", "best_step")
"""Fields of a state that are written as JSON."""


def learned(net: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that learn, by name."""
    return {name: p for name, p in net.named_parameters() if p.requires_grad}


def save(path: Path, state: State, net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Writes one file, whole or not at all.

    The order of the data needs no record: it follows from seed and step.
    """
    tensors: dict[str, Tensor] = {f"net/{name}": p.detach() for name, p in learned(net).items()}
    tensors |= {f"best/{name}": p for name, p in state.best.items()}
    for name, p in learned(net).items():
        slots = optimizer.state[p]
        tensors |= {f"optimizer/{name}/{slot}": v for slot, v in slots.items()}
    texts: dict[str, list[str]] = {}
    for step, answers in state.answers.items():
        for split, said in answers.items():
            key = f"answers/{step}/{split}"
            if isinstance(said, list):
                texts[key] = said
            else:
                tensors[key] = torch.from_numpy(said)
    numbers = {name: getattr(state, name) for name in NUMBERS}
    metadata = {"state": json.dumps(numbers), "texts": json.dumps(texts)}
    contiguous = {k: v.contiguous() for k, v in tensors.items()}
    with replacing(path) as new:
        save_file(contiguous, new, metadata=metadata)


def restore(path: Path, net: nn.Module, optimizer: torch.optim.Optimizer) -> State:
    """The state saved at `path`, with the parameters and the optimizer put back.

    A fresh one where there is none, or where a power cut left a part of one.
    """
    if not path.exists():
        return State()
    try:
        opened = safe_open(path, "pt")
    except SafetensorError as error:
        log.warning("%s is damaged (%s): training starts again", path, error)
        return State()
    with opened as file:
        metadata = file.metadata()
        state = State(**json.loads(metadata["state"]))
        for key, said in json.loads(metadata["texts"]).items():
            _put_answers(state, key, said)
        for key in file.keys():  # noqa: SIM118 (safe_open is no dict)
            _put_back(key, file.get_tensor(key), state, net, optimizer)
    return state


def _put_back(
    key: str, tensor: Tensor, state: State, net: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    kind, _, name = key.partition("/")
    if kind == "answers":
        _put_answers(state, key, tensor.numpy())
    elif kind == "best":
        state.best[name] = tensor
    elif kind == "net":
        net.get_parameter(name).data.copy_(tensor)
    else:
        name, _, slot = name.rpartition("/")
        p = net.get_parameter(name)
        optimizer.state[p][slot] = tensor if slot == "step" else tensor.to(p.device)


def _put_answers(state: State, key: str, said: Answers) -> None:
    _, step, split = key.split("/")
    state.answers[int(step)] = {**state.answers.get(int(step), {}), split: said}
