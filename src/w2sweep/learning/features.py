"""Features: final hidden states of a frozen backbone, computed once for all probes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from w2sweep.engine.stage import Job
from w2sweep.experiment.stages import Features
from w2sweep.learning.batches import Labelled
from w2sweep.learning.caches import tokens_at_once
from w2sweep.learning.hardware import prepared
from w2sweep.learning.inference import hidden_states
from w2sweep.learning.lengths import views_within
from w2sweep.learning.loading import load
from w2sweep.learning.memory import saying_what_to_lower
from w2sweep.learning.model import Net
from w2sweep.learning.tokens import Ragged


@saying_what_to_lower
def features(stage: Features, job: Job) -> None:
    """Writes `features.safetensors`: split -> [N, views, width], and `head`: the rows that a probe
    starts from [outputs, width]."""
    device = prepared(job)
    folder = job.get(stage.init) if stage.init else None
    net = (
        load(stage.backbone, folder, stage.head, stage.seed, stage.base, new=True).to(device).eval()
    )
    splits = job.get(stage.splits)
    read = views_within(net.tokenizer, splits, min(stage.max_tokens, net.context), job)
    budget = tokens_at_once(job.runtime.micro_tokens, net, device)
    progress = job.progress(len(splits), unit="splits")
    result = {"head": net.get_parameter("own_head.weight").detach().cpu().numpy()}
    for done, (name, examples) in enumerate(splits.items(), start=1):
        views = len(examples[0].views)
        result[name] = states(net, read[name], views, budget, device)
        progress.advance(done)
    if job.rank.leads:
        save_file(result, job.out / "features.safetensors")


def states(
    net: Net, texts: list[list[int]], views: int, budget: int, device: torch.device
) -> NDArray[np.float32]:
    """Hidden states of N examples of `views` texts each, given as token ids [N, views, width].

    `budget`: tokens in one forward pass.
    """
    unread = torch.zeros(len(texts) // views, 2)
    data = Labelled(Ragged.of(texts), views, unread, net.pad)
    return hidden_states(net, data, budget, device)
