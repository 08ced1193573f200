"""What the processes that run a stage together have in common. With a single one nothing is sent.

Every process calls the same functions in the same order; none of them is called where the others
may not come to, as where memory runs out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from w2sweep.engine.devices import Device
from w2sweep.engine.runtime import Rank

A = TypeVar("A")
B = TypeVar("B")

BACKEND: dict[Device, str] = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}
PATIENCE = timedelta(days=7)
"""How long one waits for the others. Whoever started them ends them where one has died."""
LOOPBACK = Path("/sys/class/net/lo")
"""The network of a machine with itself, on Linux."""
AT_ONCE = 2**26
"""Numbers of gradients that are added up at once; more need as much memory again."""


def join(rank: Rank, device: Device) -> None:
    """Meets the other processes of a stage, once. A GPU of its own is the current one from then
    on."""
    if rank.of == 1 or dist.is_initialized():
        return
    if device == "cuda":
        torch.cuda.set_device(rank.number)
    if LOOPBACK.exists():  # all are on this machine, and nobody else is spoken to
        for library in ("GLOO", "NCCL"):
            os.environ.setdefault(f"{library}_SOCKET_IFNAME", LOOPBACK.name)
    store = dist.FileStore(rank.meeting, rank.of)  # type: ignore[attr-defined]
    dist.init_process_group(
        BACKEND[device], store=store, rank=rank.number, world_size=rank.of, timeout=PATIENCE
    )


def rank() -> int:
    """The number of this process."""
    return dist.get_rank() if dist.is_initialized() else 0


def ranks() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def leads() -> bool:
    """Whether this one writes the result."""
    return rank() == 0


def summed(tensor: Tensor) -> Tensor:
    """The tensor, to which the others' are added in place: the same to the bit for all."""
    if ranks() > 1:
        dist.all_reduce(tensor)
    return tensor


def agreed(flag: bool) -> bool:
    """What the first process says: clocks differ."""
    said = [flag]
    if ranks() > 1:
        dist.broadcast_object_list(said, src=0)
    return said[0]


def largest(number: int) -> int:
    """The largest of the numbers that the processes say."""
    said: list[Any] = [number] * ranks()
    if ranks() > 1:
        dist.all_gather_object(said, number)
    return max(said)


def together(parts: Sequence[A], work: Callable[[A], B], in_step: bool = False) -> list[B]:
    """`work` of each of the parts, which are the same for all processes. Each part is done by one
    of them, in turn, and told to all. `in_step`: who has one less does the last one too, for
    nothing."""
    done = [work(part) for part in parts[rank() :: ranks()]]
    if in_step and rank() >= len(parts) % ranks() > 0:
        work(parts[-1])
    if ranks() == 1:
        return done
    of_all: list[Any] = [None] * ranks()
    dist.all_gather_object(of_all, done)
    found: list[Any] = [None] * len(parts)
    for number, its in enumerate(of_all):
        found[number :: ranks()] = its
    return found


def sum_gradients(parameters: Sequence[nn.Parameter], loss: Tensor) -> Tensor:
    """Adds up in fp32 what each process has of the gradient, in the order of the parameters, and of
    the loss, which it returns. A parameter without a gradient anywhere stays without."""
    if ranks() == 1:
        return loss
    has = torch.tensor([float(p.grad is not None) for p in parameters], device=loss.device)
    told = summed(torch.cat([loss.float().reshape(1), has]))
    learning = [p for p, n in zip(parameters, told[1:].tolist(), strict=True) if n]
    for some in _bundles(learning):
        _sum_at_once(some)
    return told[0]


def _bundles(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Some parameters after the other, in order; at least one."""
    bundle: list[nn.Parameter] = []
    for p in parameters:
        if bundle and sum(q.numel() for q in bundle) + p.numel() > AT_ONCE:
            yield bundle
            bundle = []
        bundle.append(p)
    if bundle:
        yield bundle


def _sum_at_once(parameters: Sequence[nn.Parameter]) -> None:
    zeros = (torch.zeros_like(p) if p.grad is None else p.grad for p in parameters)
    flat = summed(torch.cat([gradient.float().flatten() for gradient in zeros]))
    for p, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        p.grad = part.view_as(p).to(p.dtype)
