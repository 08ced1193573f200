"""Loading of shards: a model without memory, of which each rank then reads its own rows, so that
none ever holds all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate import init_empty_weights
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils.hub import cached_file, get_checkpoint_shard_files

from w2sweep.engine.stage import Job
from w2sweep.experiment.backbone import WEIGHTS, Backbone, HubModel, SmallLlama
from w2sweep.experiment.tuning import Base, Full, Tuning
from w2sweep.learning.hardware import autocast
from w2sweep.learning.hub import explained
from w2sweep.learning.loading import (
    as_it_is_used,
    described,
    fresh,
    is_scratch,
    loaded,
    made,
    source_of,
    take_head,
)
from w2sweep.learning.model import Net, rows_that_start, unembedding
from w2sweep.learning.shards import layers_of, put, shard, whole, with_memory
from w2sweep.learning.soundness import check
from w2sweep.learning.spread import leads
from w2sweep.learning.tuned import tune
from w2sweep.tasks.heads import Head
from w2sweep.values import ConfigError

Whole = Callable[[], PreTrainedModel]
"""Makes all of a language model, in main memory."""


def in_shards(job: Job) -> bool:
    """Whether the ranks of a job hold one model together."""
    return job.runtime.sharded and job.rank.of > 1


@explained
def load_shards(
    backbone: Backbone,
    folder: Path | None,
    head: Head | None,
    seed: int,
    tuning: Tuning,
    base: Base,
    device: torch.device,
) -> Net:
    """What `load` and `tune` make, as shards on the ranks' devices.

    Weights that the model's files have under the names of its parameters are read from there, each
    rank its rows. Others (random ones, and those that Transformers puts together from what the
    files have) the first rank makes in its main memory, and hands out.

    Args:
        backbone: the model as its ladder knows it.
        folder: where the weights are; None: where the backbone says.
        head: None: the language model's own.
        seed: of random weights, where the backbone is not pretrained, and of adapters.
        tuning: what will learn. Adapters are there before the model is sharded.
        base: what its weights are kept in. Adapters and a head of its own are in fp32.
        device: where this rank computes.
    """
    torch.manual_seed(seed)
    tokenizer, config = described(backbone, folder)
    scratch = is_scratch(backbone, folder)
    with init_empty_weights():
        lm = made(backbone, config, base).eval()
    lm.tie_weights()  # what was shared is two while there is no memory
    net = Net(as_it_is_used(lm, base), tokenizer, head)
    files = None if scratch else Files.of(source_of(backbone, folder), lm)

    def make() -> PreTrainedModel:
        torch.manual_seed(seed)
        return loaded(backbone, folder, base)[0]

    _shard(net, tuning, device, files, make)
    if isinstance(backbone, HubModel):
        # adapters in fp32 are there already, and a base in bf16 meets them by autocast
        with autocast("bf16-mixed" if base == "bf16" else "32-true", device):
            check(net, backbone.label, generates=False)
    if folder:
        take_head(net, folder)
    return net


def fresh_shards(
    backbone: SmallLlama, text: Path, context: int, seed: int, device: torch.device
) -> Net:
    """What `fresh` makes, as shards on the ranks' devices."""
    with init_empty_weights():
        net = fresh(backbone, text, context, seed)
    net.lm.tie_weights()
    _shard(net, Full(), device, None, lambda: fresh(backbone, text, context, seed).lm)
    return net


def _shard(
    net: Net, tuning: Tuning, device: torch.device, files: Files | None, make: Whole
) -> None:
    """Shards a model without memory, and fills it."""
    tune(net, tuning)
    shard(net, layers_of(net.lm), device)
    empty = _given_memory(net.lm, device)
    sources = [files.find(names, tensor) for tensor, names in empty] if files else [None]
    if all(source is not None for source in sources):
        for (tensor, _), source in zip(empty, sources, strict=True):
            put(tensor, source)
    else:
        _hand_out(empty, make, device)
    _start_head(net)


def _start_head(net: Net) -> None:
    """A new head starts from rows of the unembedding, which had no numbers when it was made."""
    if net.head is None or net.own_head is None:
        return
    words = rows_that_start(net.head, net.tokenizer)
    if words:
        put(net.own_head.weight, whole(unembedding(net.lm).weight)[words])


Empty = list[tuple[Tensor, list[str]]]
"""Tensors that wait for their numbers, each with all names that it has in the language model."""


def _given_memory(lm: PreTrainedModel, device: torch.device) -> Empty:
    """Gives memory to the parameters that have none. They and the buffers that are saved with a
    model are what waits for its numbers."""
    new: dict[nn.Parameter, nn.Parameter] = {}
    for module in lm.modules():
        for name, p in module.named_parameters(recurse=False):
            if p.is_meta:
                if p not in new:
                    new[p] = with_memory(p, device)
                setattr(module, name, new[p])
    names: dict[Tensor, list[str]] = {p: [] for p in (*new.values(), *lm.buffers())}
    for name, tensor in lm.state_dict(keep_vars=True).items():
        if tensor in names:
            names[tensor].append(
                name.replace("base_layer.", "")
            )  # an adapter's, which was not there
    return [(tensor, its) for tensor, its in names.items() if its]


@torch.no_grad()
def _hand_out(empty: Empty, make: Whole, device: torch.device) -> None:
    """The first rank makes the model in its main memory; each tensor is once, for a moment, whole
    on all devices. All ranks raise what is wrong with the model."""
    source, wrong = {}, ""
    if leads():
        try:
            source = make().state_dict()
        except ConfigError as error:
            wrong = str(error)
    told = [wrong]
    dist.broadcast_object_list(told, 0)
    if told[0]:
        raise ConfigError(told[0])
    for tensor, names in empty:
        together = torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
        if source:
            together.copy_(source[names[0]])
        dist.broadcast(together, 0)
        put(tensor, together)


class Files:
    """The tensors of a model's safetensors files.

    Args:
        paths: the files.
        prefix: what Transformers calls the body of the model. Files may leave it out of names, or
            have it in addition.
    """

    def __init__(self, paths: list[str], prefix: str):
        self.prefix = f"{prefix}."
        opened = [safe_open(path, "pt") for path in paths]
        self.files = {key: file for file in opened for key in file.keys()}  # noqa: SIM118

    @staticmethod
    def of(source: dict[str, Any], lm: PreTrainedModel) -> Files | None:
        """Those of a model of the hub or of a folder; None where they are not what the parameters
        are made of, row by row, or cannot be read."""
        if getattr(lm.config, "quantization_config", None):
            return None
        options = {"revision": source.get("revision")}
        options["_raise_exceptions_for_missing_entries"] = False
        name = source["pretrained_model_name_or_path"]
        whole, index = (cached_file(name, file, **options) for file in WEIGHTS)
        paths = [whole] if whole else []
        if not whole and index:
            paths, _ = get_checkpoint_shard_files(name, index, revision=source.get("revision"))
        try:
            return Files(paths, lm.base_model_prefix) if paths else None
        except SafetensorError:
            return None

    def find(self, names: list[str], like: Tensor) -> Any:
        """The tensor of one of these names and of the shape of another one, for its rows to be
        read; None where there is none."""
        for key in self._keys(names):
            if key in self.files:
                found = self.files[key].get_slice(key)
                return found if tuple(found.get_shape()) == tuple(like.shape) else None
        return None

    def _keys(self, names: list[str]) -> Iterator[str]:
        for name in names:
            yield from (name, name.removeprefix(self.prefix), self.prefix + name)
