"""Prefixes: what stands before all texts alike, whose keys and values are computed once."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from w2sweep.learning.batches import Batch
from w2sweep.learning.model import Net


class Prefix:
    """P tokens that every sequence begins with.

    A model whose memory is no cache of keys and values, and any model where P is 0, is given whole
    sequences instead.

    Args:
        net: the language model.
        ids: the tokens [P].
        device: where the model is.
    """

    def __init__(self, net: Net, ids: list[int], device: torch.device):
        self.net = net
        self.ids = torch.tensor(ids, dtype=torch.long, device=device)
        self.cache = self._read() if ids else None

    @torch.no_grad()
    def _read(self) -> DynamicCache | None:
        """The keys and values of the tokens, of one sequence; None where the model keeps others."""
        ids = self.ids[None]
        self.net.check_known(ids)
        given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": True}
        kept = getattr(self.net.body(**given), "past_key_values", None)
        return kept if type(kept) is DynamicCache else None

    def logits(self, batch: Batch) -> Tensor:
        """The language model's logits at the positions asked for [asked, vocabulary], where each
        sequence of the batch, padded on its right, comes behind the prefix."""
        if self.cache is None:
            return self.net.language_logits(self._whole(batch))
        return self.net.language_logits(batch, self._behind(batch, self.cache))

    def _whole(self, batch: Batch) -> Batch:
        """The batch with the prefix before each sequence."""
        before = self.ids.expand(len(batch.ids), -1)
        seen, unasked = torch.ones_like(before), torch.zeros_like(before, dtype=torch.bool)
        return Batch(
            ids=torch.cat([before, batch.ids], 1),
            mask=torch.cat([seen, batch.mask], 1),
            asked=torch.cat([unasked, batch.asked], 1),
            targets=batch.targets,
        )

    def _behind(self, batch: Batch, cache: DynamicCache) -> dict[str, Any]:
        """What the model is given of the batch alone: the cache stands for the prefix."""
        whole = self._whole(batch)
        given = self.net.inputs(whole)
        length = len(self.ids)
        for name in ("input_ids", "position_ids"):
            if name in given:
                given[name] = given[name][:, length:]
        past = copy.deepcopy(cache)  # reading appends to it
        past.batch_repeat_interleave(len(batch.ids))
        return {**given, "past_key_values": past, "use_cache": True}
