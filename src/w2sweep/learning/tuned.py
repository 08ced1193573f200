"""Tunings at work: which parameters learn, how fast, and how adapters become plain weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from w2sweep.experiment.tuning import Lora, Tuning
from w2sweep.learning.model import Net, unembedding
from w2sweep.learning.shards import is_sharded
from w2sweep.values import ConfigError


def tune(net: Net, tuning: Tuning) -> None:
    """Leaves only the parameters of this tuning to learn; a head of its own always does."""
    if isinstance(tuning, Lora):
        _add_adapters(net, tuning)
    if net.own_head is not None:
        unused = unembedding(net.lm)
        if unused.weight is not net.lm.get_input_embeddings().weight:
            unused.requires_grad_(False)  # no loss reaches it


def parameter_groups(
    net: nn.Module, lr: float, head_lr: float = 1.0, embedding_lr: float = 1.0
) -> list[dict]:
    """The parameters that learn, in groups with their `base_lr`.

    `head_lr` and `embedding_lr` multiply the rate of a head of its own and of input embeddings.
    """
    embedding = net.lm.get_input_embeddings().weight if isinstance(net, Net) else None
    scales: dict[float, list[nn.Parameter]] = {}
    for name, p in net.named_parameters():
        is_head = name.startswith("own_head")
        scale = head_lr if is_head else embedding_lr if p is embedding else 1.0
        if p.requires_grad:
            scales.setdefault(scale, []).append(p)
    return [{"params": params, "base_lr": lr * scale} for scale, params in scales.items()]


def merge_adapters(net: Net) -> None:
    """Adds adapters to the matrices they adapt: the model is a plain one again, in fp32.

    A backbone in bf16 is moved to main memory for it, unless it is spread over devices: rounded to
    bf16, what was learned would be lost in part.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    if net.lm.dtype is torch.bfloat16 and any(
        isinstance(module, BaseTunerLayer) for module in net.lm.modules()
    ):
        nn.Module.to(net.lm, None if is_sharded(net) else "cpu", torch.float32)
    for name, module in list(net.lm.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            net.lm.set_submodule(name, module.get_base_layer())


def _add_adapters(net: Net, tuning: Lora) -> None:
    from peft import LoraConfig, inject_adapter_in_model
    from peft.tuners.tuners_utils import BaseTunerLayer

    # GPT-2 stores its matrices the other way
    transposed = any(isinstance(m, Conv1D) for m in net.lm.modules())
    config = LoraConfig(
        r=tuning.rank,
        lora_alpha=tuning.alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
        fan_in_fan_out=transposed,
    )
    net.lm.requires_grad_(False)
    random = torch.get_rng_state()
    try:
        inject_adapter_in_model(config, net.lm)
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ConfigError(
            f"LoRA cannot adapt a {type(net.lm).__name__} ({reason}): use tuning=full"
        ) from error
    for module in net.lm.modules():
        if isinstance(module, BaseTunerLayer):
            # autocast casts for each matrix; a copy in fp32 before would be kept as well
            setattr(module, "cast_input_dtype_enabled", tuning.base == "fp32")  # noqa: B010
    if net.lm.get_input_embeddings().weight.is_meta:
        _draw_again(net.lm, random)
    for p in net.lm.parameters():
        if p.requires_grad:
            p.data = p.data.float()


def _draw_again(lm: PreTrainedModel, random: Tensor) -> None:
    """Gives memory and their random numbers to the adapters of a model that has no memory yet:
    PEFT puts adapters where the matrix is that they adapt. `random`: the state of the generator
    before it made them."""
    from peft.tuners.lora import LoraLayer

    torch.set_rng_state(random)
    dtype = lm.get_input_embeddings().get_parameter("weight").dtype
    for layer in [m for m in lm.modules() if isinstance(m, LoraLayer)]:
        for name in list(layer.lora_A):
            for parts in (layer.lora_A, layer.lora_B):
                outputs, inputs = parts[name].get_parameter("weight").shape
                parts[name] = nn.Linear(inputs, outputs, bias=False)
            layer.reset_lora_parameters(name, True)
            for parts in (layer.lora_A, layer.lora_B):
                parts[name].to(dtype=dtype)  # as PEFT does, wherever they are then
