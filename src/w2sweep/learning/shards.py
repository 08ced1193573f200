"""Shards: a model whose parameters, gradients and optimizer are spread over the devices of several
ranks, for what does not fit on one. FSDP2 does it (`torch.distributed.fsdp.fully_shard`).

Each rank keeps a range of the rows of every parameter. A layer is put together where it is
computed with, and taken apart behind it. So whatever runs the model is a matter of all ranks: they
must run it equally often.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from w2sweep.learning.spread import leads, ranks
from w2sweep.values import ConfigError


def shard(net: nn.Module, layers: list[nn.Module], device: torch.device) -> None:
    """Leaves each rank its rows of all parameters, in place. The parameters are other ones then.

    Args:
        net: the model; its parameters may be without memory yet (`meta`).
        layers: its parts that are put together one at a time. What is in none of them, such as
            embeddings, which a head may share, is together whenever the model runs.
        device: where this rank computes.
    """
    mesh = init_device_mesh(device.type, (ranks(),))
    if not hasattr(FSDPModule, "set_force_sum_reduction_for_comms"):
        raise ConfigError(
            f"runtime.sharded=true needs torch 2.8 or later, and this is {torch.__version__}: "
            "install it, or use runtime.sharded=false"
        )
    for part in (*layers, net):
        # else the last part stays whole after a forward without a gradient
        sharded = fully_shard(part, mesh=mesh, reshard_after_forward=True)
        # gradients are summed, as they are of the shares of one batch; NCCL and Gloo both can
        sharded.set_gradient_divide_factor(1.0)
        sharded.set_force_sum_reduction_for_comms(True)
    for way in ("hidden", "plain"):  # hooks sit on `forward` alone
        if hasattr(net, way):
            register_fsdp_forward_method(net, way)


def layers_of(lm: Any) -> list[nn.Module]:
    """The layers of a language model of Transformers, which says what must not be split, but for
    those that share a parameter with what is outside of them. Raises ConfigError where there are
    none."""
    names = set(getattr(lm, "_no_split_modules", None) or ())
    places = Counter(p for _, p in lm.named_parameters(remove_duplicate=False))
    layers: list[nn.Module] = []
    inside: set[nn.Module] = set()
    for module in lm.modules():  # what is outside comes first
        if type(module).__name__ not in names or module in inside:
            continue
        if all(places[p] == 1 for p in module.parameters()):
            layers.append(module)
            inside.update(module.modules())
    if not layers:
        raise ConfigError(
            f"runtime.sharded=true: a {type(lm).__name__} does not say what its layers are, so its "
            "devices cannot hold one together: use runtime.sharded=false"
        )
    return layers


def is_sharded(net: nn.Module) -> bool:
    """Whether its parameters are spread over ranks."""
    return isinstance(net, FSDPModule)


def rows(of: Tensor) -> slice:
    """The rows that this rank has of a tensor; all, where it is no shard."""
    if not isinstance(of, DTensor):
        return slice(None)
    mesh = of.device_mesh
    each = -(-of.shape[0] // mesh.size())  # the last ranks may have fewer, or none
    first = min(of.shape[0], each * mesh.get_local_rank())
    return slice(first, min(of.shape[0], first + each))


def local(tensor: Tensor) -> Tensor:
    """What this rank has of a tensor, in the same memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def alike(like: Tensor, source: Any) -> Tensor:
    """A tensor of which this rank has the same part as of another one. `source`: what has all of
    it, of which these rows alone are read, such as a slice of a safetensors file."""
    return _placed(_own(like, source).to(like.device), like)


@torch.no_grad()
def put(into: Tensor, source: Any) -> None:
    """Sets this rank's part of a tensor. `source`: what has all of it, as in `alike`."""
    local(into).copy_(_own(into, source))


def with_memory(p: nn.Parameter, device: torch.device) -> nn.Parameter:
    """A parameter like one that has no memory, with arbitrary numbers."""
    memory = torch.empty_like(local(p), device=device)
    return nn.Parameter(_placed(memory, p), requires_grad=p.requires_grad)


def _own(like: Tensor, source: Any) -> Tensor:
    """This rank's rows of what has the shape of a tensor."""
    return source[rows(like)] if like.ndim else source[...]


def _placed(own: Tensor, like: Tensor) -> Tensor:
    """This rank's part of a tensor as such a part."""
    if not isinstance(like, DTensor):
        return own
    return DTensor.from_local(
        own.contiguous(),
        like.device_mesh,
        like.placements,
        run_check=False,
        shape=like.shape,
        stride=like.stride(),
    )


@torch.no_grad()
def whole(tensor: Tensor) -> Tensor:
    """All of a tensor, on each rank's device. All ranks take part."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gathered(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors, each whole: those that are shards in the main memory of the first rank, while others
    get nothing. All ranks take part. What is no shard is left as it is."""
    first = leads()
    found: dict[int, Tensor] = {}  # what is shared stays shared
    for tensor in tensors.values():
        if isinstance(tensor, DTensor) and id(tensor) not in found:
            together = whole(tensor)
            found[id(tensor)] = together.cpu() if first else local(tensor)
    put_together = {name: found.get(id(tensor), tensor) for name, tensor in tensors.items()}
    return {k: v for k, v in put_together.items() if first or not isinstance(tensors[k], DTensor)}
