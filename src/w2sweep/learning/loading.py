"""Loading: language models of the hub, of a folder, or fresh; and which are refused."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as transformers_logging

from w2sweep.engine.files import read_json
from w2sweep.engine.stage import public_name
from w2sweep.experiment.backbone import (
    Backbone,
    HubModel,
    SmallLlama,
    check_depth,
    refuse_parts,
)
from w2sweep.experiment.tuning import Base
from w2sweep.learning.activations import use_fewer_operations
from w2sweep.learning.hub import explained
from w2sweep.learning.logits import in_fp32
from w2sweep.learning.model import HEAD, HEAD_FACTS, Net, unembedding
from w2sweep.learning.shards import put
from w2sweep.learning.soundness import check
from w2sweep.learning.tokens import hub_source
from w2sweep.tasks.heads import Completion, Head
from w2sweep.values import ConfigError, Impossible

transformers_logging.disable_progress_bar()  # a bar per model would tear the sweep's own apart

ATTENTION = "sdpa" if torch.cuda.is_available() else "eager"
"""On CPUs eager attention is as fast in fp32, and faster in bf16."""
DTYPES: dict[Base, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


@explained
def load(
    backbone: Backbone,
    folder: Path | None,
    head: Head | None,
    seed: int,
    base: Base = "fp32",
    new: bool = False,
) -> Net:
    """The backbone with its head. Dropout is off: two forward passes agree.

    Args:
        backbone: the model as its ladder knows it.
        folder: where the weights are; None: where the backbone says.
        head: None: the language model's own.
        seed: of random weights, where the backbone is not pretrained.
        base: what its weights are kept in. A head of its own is in fp32.
        new: whether the head is a new one even if there is one in the folder.
    """
    torch.manual_seed(seed)
    lm, tokenizer = loaded(backbone, folder, base)
    net = Net(lm, tokenizer, head)
    generates = isinstance(head, Completion)
    if generates:
        _ = net.end
    if isinstance(backbone, HubModel):
        check(net, backbone.label, generates)
    if folder and not new:
        take_head(net, folder)
    return net


def fresh(backbone: SmallLlama, text: Path, context: int, seed: int) -> Net:
    """A Llama-shaped language model with random weights: RMSNorm, rotary positions, SwiGLU, tied
    embeddings; with the tokenizer of the folder `text`."""
    tokenizer = AutoTokenizer.from_pretrained(text)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=backbone.width,
        intermediate_size=backbone.feedforward,
        num_hidden_layers=backbone.depth,
        num_attention_heads=backbone.heads,
        max_position_embeddings=context,
        rms_norm_eps=1e-6,
        initializer_range=0.02,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    config._attn_implementation = ATTENTION
    torch.manual_seed(seed)
    return Net(LlamaForCausalLM(config), tokenizer, head=None)


def take_head(net: Net, folder: Path) -> None:
    """Starts with the head of the folder, where it has one of the same kind and shape."""
    if net.own_head is None or not (folder / HEAD).exists():
        return
    found, own = load_file(folder / HEAD), net.own_head.state_dict()
    same_kind = read_json(folder / HEAD_FACTS)["is"] == public_name(type(net.head))
    if same_kind and _shapes(found) == _shapes(own):
        for name, p in net.own_head.named_parameters():
            put(p, found[name])


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def loaded(
    backbone: Backbone, folder: Path | None, base: Base = "fp32"
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """The model without dropout, and its tokenizer.

    Args:
        backbone: the model as its ladder knows it.
        folder: where the weights are; None: where the backbone says.
        base: what the weights are kept in. They are read into it, with no copy in fp32 between;
            the logits of a model in bf16 are computed in fp32.

    Raises:
        ConfigError: where it is no causal language model, or a part of its weights is missing.
    """
    source = source_of(backbone, folder)
    tokenizer, config = described(backbone, folder)
    if is_scratch(backbone, folder):
        lm = made(backbone, config, base)
    else:
        options = {"attn_implementation": ATTENTION, "dtype": DTYPES[base]}
        lm = _with_weights(backbone.label, source, {"config": config, **options})
    return as_it_is_used(lm, base), tokenizer


def is_scratch(backbone: Backbone, folder: Path | None) -> bool:
    """Whether its weights are random numbers, in the architecture of a model of the hub."""
    return folder is None and isinstance(backbone, HubModel) and backbone.scratch


def described(
    backbone: Backbone, folder: Path | None
) -> tuple[PreTrainedTokenizerFast, PreTrainedConfig]:
    """The tokenizer and the configuration of a model, as it is used here. Raises ConfigError where
    it is no causal language model, and Impossible where it has fewer layers than are asked for."""
    source = source_of(backbone, folder)
    config = AutoConfig.from_pretrained(**source)
    _check_kind(config, backbone.label)
    if isinstance(backbone, HubModel) and backbone.layers:
        cut(config, backbone.layers, backbone.label)
    tokenizer = AutoTokenizer.from_pretrained(**source)
    leave_nothing_to_chance(config)
    _forget_padding(config)
    return tokenizer, config


def made(backbone: Backbone, config: PreTrainedConfig, base: Base) -> PreTrainedModel:
    """A model with random weights, without dropout."""
    trusted = isinstance(backbone, HubModel) and backbone.trust_remote_code
    options = {"attn_implementation": ATTENTION, "dtype": DTYPES[base]}
    return AutoModelForCausalLM.from_config(config, trust_remote_code=trusted, **options)


def as_it_is_used(lm: PreTrainedModel, base: Base) -> PreTrainedModel:
    """The same model, without the dropout that its own code may have made whatever its
    configuration says, with logits in fp32, and with fewer operations for what it computes."""
    use_fewer_operations(lm)
    for module in lm.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    if base == "bf16":
        in_fp32(unembedding(lm))
    return lm


def leave_nothing_to_chance(config: PreTrainedConfig | dict[str, Any]) -> None:
    """Turns off dropout and dropped layers, in parts of a configuration too: two forward passes
    agree."""
    fields = config if isinstance(config, dict) else vars(config)
    for name, found in fields.items():
        if isinstance(found, PreTrainedConfig | dict):
            leave_nothing_to_chance(found)
        elif isinstance(found, float) and "drop" in name:
            fields[name] = 0.0


def source_of(backbone: Backbone, folder: Path | None) -> dict[str, Any]:
    """The arguments of a loader's `from_pretrained`. What was trained on here keeps the code of its
    authors, and so the user's trust in them."""
    if isinstance(backbone, HubModel):
        here = {"pretrained_model_name_or_path": folder, "revision": None} if folder else {}
        return hub_source(backbone) | here
    assert folder, "homegrown weights lie in the folder of a stage"
    return {"pretrained_model_name_or_path": folder}


def cut(config: PreTrainedConfig, layers: int, name: str) -> None:
    """Leaves the first layers of a model alone, in its configuration: the weights of the others are
    not read. Lists with an entry a layer get as short. Raises Impossible where there are fewer."""
    depth = getattr(config, "num_hidden_layers", None)
    if depth is None:
        raise Impossible(
            f"{name} ({config.model_type}) does not say how many layers it has, so it cannot be "
            "cut: leave layers out"
        )
    check_depth(name, layers, depth)
    for field, found in list(vars(config).items()):
        if "layer" in field and isinstance(found, list) and len(found) == depth:
            setattr(config, field, found[:layers])
    config.num_hidden_layers = layers


def _check_kind(config: PreTrainedConfig, name: str) -> None:
    """Raises ConfigError for models that are known to be no causal language models, or to be more
    than that."""
    refuse_parts(name, {**vars(config), "model_type": config.model_type})
    own_code = getattr(config, "auto_map", None) or {}
    known = type(config) in MODEL_FOR_CAUSAL_LM_MAPPING or "AutoModelForCausalLM" in own_code
    if known and not config.is_encoder_decoder:
        return
    kind = "an encoder-decoder" if config.is_encoder_decoder else "no causal language model"
    raise ConfigError(
        f"{name} ({config.model_type}) is {kind}, and rungs are causal language models: "
        "use one such as openai-community/gpt2"
    )


def _forget_padding(config: PreTrainedConfig) -> None:
    """Padding needs no row of the embedding, where the model has none for it."""
    text = config.get_text_config()
    pad, rows = getattr(text, "pad_token_id", None), getattr(text, "vocab_size", None)
    if pad is not None and rows is not None and pad >= rows:
        text.pad_token_id = None


def _with_weights(name: str, source: dict[str, Any], options: dict[str, Any]) -> PreTrainedModel:
    try:
        with _without_tables():
            found: Any = AutoModelForCausalLM.from_pretrained(
                **source,
                **options,
                use_safetensors=True,
                output_loading_info=True,
            )
    except OSError as error:
        if "safetensors" not in str(error):
            raise
        raise ConfigError(
            f"{name} has no safetensors, and weights of other formats are not read, for pickles "
            "can run code: load it with Transformers once and write it by save_pretrained"
        ) from error
    except SafetensorError as error:
        raise ConfigError(f"the weights of {name} are damaged ({error}): get them again") from error
    except RuntimeError as error:
        if "mismatch" not in str(error):
            raise
        raise ConfigError(
            f"the weights of {name} are not of the sizes that its config.json says: get both from "
            "the same model"
        ) from error
    lm, told = found
    missing = sorted({*told["missing_keys"], *(key for key, *_ in told["mismatched_keys"])})
    if missing:
        raise ConfigError(
            f"{name} lacks {len(missing)} of the weights of a {type(lm).__name__}, such as "
            f"{missing[0]}, which would be random numbers: use a whole model, or scratch=true for "
            "random weights throughout"
        )
    return lm


@contextlib.contextmanager
def _without_tables() -> Iterator[None]:
    """Loads without the report of all keys: what matters of it is raised."""
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)
