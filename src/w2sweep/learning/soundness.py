"""Soundness: whether a language model reads texts as everything here takes for granted.

It is tried on two short texts when a model is loaded. What a class is called says little: there are
encoders that are offered as causal language models, and models that count positions in their own
way.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from w2sweep.learning.batches import Batch
from w2sweep.learning.memory import is_out_of_memory
from w2sweep.learning.model import Net
from w2sweep.values import ConfigError

LONG, SHORT = 12, 5
"""Tokens of the two texts, of which the second is how the first begins."""
NOISE = 1e-3
"""Largest difference of two computations of the same numbers, as a part of the largest of them."""
ROUGH = 0.05
"""The same in bf16, which rounds each number to a 256th of it."""
SAME = 1e-6
"""The same, of two computations in the same order."""


@torch.no_grad()
def check(net: Net, name: str, generates: bool) -> None:
    """Makes sure that final states depend on what stands before and on nothing else.

    Args:
        net: the model with its head, as it is trained.
        name: what messages call it.
        generates: whether it is to complete prompts, which are padded on their left.

    Raises:
        ConfigError: where the model sees what comes later, or padding, or leaves something to
            chance.
    """
    wrong = _wrong(net, generates)
    net.eval()
    if wrong:
        kind = type(net.lm).__name__
        raise ConfigError(
            f"{name} ({kind}) {wrong}: use a causal language model such as openai-community/gpt2"
        )


def _wrong(net: Net, generates: bool) -> str:
    """What the model does that it should not, or nothing."""
    try:
        return next(_wrongs(net, generates), "")
    except (TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:120]
        return f"cannot be run on ids and a mask ({reason})"


def _wrongs(net: Net, generates: bool) -> Iterator[str]:
    texts, noise = _texts(net), ROUGH if net.lm.dtype is torch.bfloat16 else NOISE
    net.eval()
    states, logits = zip(*(_plain(net, text) for text in texts), strict=True)
    long, short = states
    if not _same(long[len(short) - 1], short[-1], noise):
        yield "sees the tokens that come after one"
    if net.own_head is not None and net.own_head.in_features != short.shape[-1]:
        yield "has final states of another width than its unembedding reads"
    if any(not _same(*pair, noise) for pair in zip(states, _all_states(net, texts), strict=True)):
        yield "has positions of its own"
    alone = torch.stack([long[-1], short[-1]])
    for left in (False, True) if generates else (False,):
        if not _same(alone, net.hidden(_batch(net, texts, left)), noise):
            yield f"reads a text with padding on its {'left' if left else 'right'} differently"
    own = torch.stack([found[-1] for found in logits])
    if net.own_head is None and not _same(own, net(_batch(net, texts)), noise):
        yield "has logits that depend on more than the final state at a token"
    before = _all_states(net, texts)
    after = _all_states(net.train(), texts)
    if any(not _same(*pair, SAME) for pair in zip(before, after, strict=True)):
        yield "leaves something to chance in training"


def _all_states(net: Net, texts: list[Tensor]) -> list[Tensor]:
    """Final states at all tokens of each text [T, width], read one by one as in training."""
    found = []
    for text in texts:
        batch = _batch(net, [text])
        found.append(net.hidden(batch._replace(asked=batch.mask.bool())))
    return found


def _texts(net: Net) -> list[Tensor]:
    """Token ids of the two texts [LONG], [SHORT], drawn from the vocabulary."""
    rng = torch.Generator().manual_seed(0)
    long = torch.randint(net.vocabulary, (min(LONG, net.context),), generator=rng)
    long = long.to(next(net.parameters()).device)
    return [long, long[:SHORT]]


def _plain(net: Net, text: Tensor) -> tuple[Tensor, Tensor]:
    """Final states [T, width] and logits [T, vocabulary] of a text, as anybody would compute
    them."""
    states, logits = net.plain(text[None])
    return states[0], logits[0]


def _batch(net: Net, texts: list[Tensor], left: bool = False) -> Batch:
    """Texts side by side, padded, with their last tokens asked for."""
    width = max(len(text) for text in texts)
    ids = texts[0].new_full((len(texts), width), net.pad)
    mask, asked = torch.zeros_like(ids), torch.zeros_like(ids, dtype=torch.bool)
    for row, text in enumerate(texts):
        stop = width if left else len(text)
        ids[row, stop - len(text) : stop] = text
        mask[row, stop - len(text) : stop] = 1
        asked[row, stop - 1] = True
    return Batch(ids, mask, asked, torch.zeros(len(texts), 2, device=ids.device))


def _same(expected: Tensor, found: Tensor, noise: float) -> bool:
    """Whether two computations of the same numbers agree, but for noise."""
    if expected.shape != found.shape:
        return False
    difference = (expected.float() - found.float()).abs().max()
    return bool(difference <= noise * expected.abs().max())
