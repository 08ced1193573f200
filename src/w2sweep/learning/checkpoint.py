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
from w2sweep.learning.memory import in_main_memory
from w2sweep.learning.optimizers import put_back, shapes_of_slots, slots_of
from w2sweep.learning.shards import alike, gathered, put
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
    average: dict[str, Tensor] = field(default_factory=dict)
    """What the learned parameters were on average, where that is wanted."""
    memory: list[float] = field(default_factory=list)
    """What a loss has to know that learns something itself."""


NUMBERS = {
    "step": int,
    "curves": list,
    "losses": list,
    "first_loss": float,
    "best_score": float,
    "best_step": int,
    "memory": list,
}
"""Fields of a state that are written as JSON."""
MODELS = ("best", "average")
"""Those that are parameters by name."""


def learned(net: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that learn, by name."""
    return {name: p for name, p in net.named_parameters() if p.requires_grad}


def copied(net: nn.Module) -> dict[str, Tensor]:
    """What the parameters that learn are now, by name, in main memory."""
    return {name: in_main_memory(p) for name, p in learned(net).items()}


def save(path: Path, state: State, net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Writes one file, whole or not at all. Of shards all ranks take part, and the first writes.

    The order of the data needs no record: it follows from seed and step.
    """
    tensors: dict[str, Tensor] = {f"net/{name}": p for name, p in learned(net).items()}
    for kind in MODELS:
        tensors |= {f"{kind}/{name}": p for name, p in getattr(state, kind).items()}
    for name, p in learned(net).items():
        slots = slots_of(optimizer, p)
        tensors |= {f"optimizer/{name}/{slot}": v for slot, v in slots.items()}
    tensors = gathered(tensors)
    if not any(name.startswith("net/") for name in tensors):
        return
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
    contiguous = {k: v.detach().contiguous() for k, v in tensors.items()}
    with replacing(path) as new:
        save_file(contiguous, new, metadata=metadata)


def step_at(path: Path) -> int:
    """The step of the state saved at `path`; 0 where there is none, or none to go on with."""
    try:
        metadata = safe_open(path, "pt").metadata() or {}
        return int(json.loads(metadata["state"])["step"])
    except (OSError, SafetensorError, ValueError, TypeError, KeyError):
        return 0


def restore(path: Path, net: nn.Module, optimizer: torch.optim.Optimizer) -> State:
    """The state saved at `path`, with the parameters and the optimizer put back; of shards each
    rank reads its own rows. It serves any number of devices.

    A fresh one, and nothing put back, where there is none, or where what is there cannot be gone on
    with: a part of one that a power cut left, or one of another version of the program.
    """
    if not path.exists():
        return State()
    try:
        file = safe_open(path, "pt")
        state = _read(file, net)
        _check(state, _shapes(file), net, optimizer)
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())
        log.warning("%s cannot be used (%s): training starts again", path, reason)
        return State()
    for name, p in learned(net).items():
        put(p, file.get_slice(f"net/{name}"))
        put_back(optimizer, p, _slots(file, name, p))
    return state


def _of(file: Any, kind: str) -> list[str]:
    """The keys of the tensors of one kind."""
    return [key for key in file.keys() if key.startswith(f"{kind}/")]  # noqa: SIM118 (is no dict)


def _read(file: Any, net: nn.Module) -> State:
    """The state, without what belongs into the network and the optimizer."""
    metadata = file.metadata() or {}
    state = State(**json.loads(metadata["state"]))
    for key, said in json.loads(metadata["texts"]).items():
        _put_answers(state, key, said)
    for key in _of(file, "answers"):
        _put_answers(state, key, file.get_tensor(key).numpy())
    for kind in MODELS:
        for key in _of(file, kind):
            name = key.removeprefix(f"{kind}/")
            getattr(state, kind)[name] = alike(net.get_parameter(name), file.get_slice(key))
    return state


def _shapes(file: Any) -> dict[str, torch.Size]:
    """Those of what belongs into the network and the optimizer."""
    keys = _of(file, "net") + _of(file, "optimizer")
    return {key: torch.Size(file.get_slice(key).get_shape()) for key in keys}


def _check(
    state: State,
    shapes: Mapping[str, torch.Size],
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Raises ValueError where this is not the state of a training, with the parameters that learn
    and their optimizer's."""
    if not all(isinstance(getattr(state, name), kind) for name, kind in NUMBERS.items()):
        raise ValueError("its state is none")
    expected: dict[str, torch.Size] = {}
    for name, p in learned(net).items():
        expected[f"net/{name}"] = p.shape
        if any(key.startswith(f"optimizer/{name}/") for key in shapes):  # else it has no gradient
            slots = shapes_of_slots(optimizer, p)
            expected |= {f"optimizer/{name}/{slot}": shape for slot, shape in slots.items()}
    if shapes != expected:
        raise ValueError("it is of another network")


def _slots(file: Any, name: str, p: nn.Parameter) -> dict[str, Tensor]:
    """What the optimizer kept of the parameter of this name: of what has a number for each of its
    own, this rank's part."""
    slots = {}
    for key in _of(file, f"optimizer/{name}"):
        source = file.get_slice(key)
        whole = torch.Size(source.get_shape()) != p.shape
        slots[key.rpartition("/")[2]] = file.get_tensor(key) if whole else alike(p, source)
    return slots


def _put_answers(state: State, key: str, said: Answers) -> None:
    _, step, split = key.split("/")
    state.answers[int(step)] = {**state.answers.get(int(step), {}), split: said}
