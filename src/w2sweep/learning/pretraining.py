"""Pretraining, and training on: a language model learns from a stream of tokens."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy

from w2sweep.engine.files import write_json
from w2sweep.engine.stage import Job
from w2sweep.experiment.backbone import SmallLlama
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.stages import Adapt
from w2sweep.experiment.tuning import Full
from w2sweep.learning import schedules, spread
from w2sweep.learning.batches import pretraining_batches, window
from w2sweep.learning.curves import write_curves
from w2sweep.learning.hardware import autocast, precision_of, prepared
from w2sweep.learning.inference import to
from w2sweep.learning.learner import Course, Evaluation, Trained, fit
from w2sweep.learning.loading import fresh, load
from w2sweep.learning.loading_shards import fresh_shards, in_shards, load_shards
from w2sweep.learning.memory import saying_what_to_lower
from w2sweep.learning.model import Net
from w2sweep.learning.shards import is_sharded
from w2sweep.learning.stacking import run_side_by_side
from w2sweep.learning.tuned import parameter_groups


@dataclass(frozen=True)
class _BegunPretraining:
    """A pretraining before its first step."""

    stage: Adapt
    job: Job
    net: Net
    heldout: NDArray
    """The token ids that the loss is measured on [N]."""
    course: Course


@saying_what_to_lower
def adapt(stage: Adapt, job: Job) -> None:
    """Writes the model and its tokenizer as `save_pretrained` does, `curves.jsonl` and
    `pretrain.json`."""
    begun = _begun(stage, job)
    _write(begun, fit(begun.net, begun.course, job) if begun.course.steps else None)


def adapt_together(runs: Sequence[tuple[Adapt, Job]]) -> Iterator[Exception | None]:
    """Does the same for several stages, whose models it trains side by side where it can."""
    return run_side_by_side(runs, _begun, _write)


def _begun(stage: Adapt, job: Job) -> _BegunPretraining:
    prepared(job)
    net, text = _start(stage, job), job.get(stage.text)
    if job.runtime.gradient_checkpointing:
        net.lm.activation_checkpointing_enable()
    heldout = np.load(text / "heldout.npy", mmap_mode="r")
    tokens = np.load(text / "train.npy", mmap_mode="r")
    return _BegunPretraining(stage, job, net, heldout, _course(stage, job, net, tokens, heldout))


def _write(begun: _BegunPretraining, trained: Trained | None) -> None:
    """The result of a pretraining, after the last step. `trained`: None where there was none."""
    stage, job, net = begun.stage, begun.job, begun.net
    device, context = torch.device(job.device), _context(stage, net)
    if trained:
        write_curves(job.out, trained.curves)
    if job.rank.leads or is_sharded(net):
        net.save(job.out)
    facts = {
        "heldout_loss": heldout_loss(net.to(device), begun.heldout, context, device),
        "tokens": begun.course.steps * stage.recipe.batch * context,
        "parameters": sum(p.numel() for p in net.parameters()),
    }
    write_json(job.out / "pretrain.json", facts)


def _start(stage: Adapt, job: Job) -> Net:
    """The model as it is before it reads anything here."""
    device, seed = torch.device(job.device), stage.seed
    if stage.init is None and isinstance(stage.backbone, SmallLlama):
        given = (stage.backbone, job.get(stage.text), stage.text.tokenizer.context, seed)
        return fresh_shards(*given, device) if in_shards(job) else fresh(*given)
    folder = job.get(stage.init) if stage.init else None
    if in_shards(job):
        return load_shards(stage.backbone, folder, None, seed, Full(), "fp32", device)
    return load(stage.backbone, folder, None, seed)


def _context(stage: Adapt, net: Net) -> int:
    """Tokens of a window: what is asked for, or what the model was made for."""
    return min(stage.text.tokenizer.context, net.context)


def _course(stage: Adapt, job: Job, net: Net, tokens: NDArray, heldout: NDArray) -> Course:
    recipe, context = stage.recipe, _context(stage, net)
    steps = recipe.steps(len(tokens), context)
    precision = precision_of(recipe.precision, job)
    job.note(precision=precision)

    def evaluate(net: nn.Module, device: torch.device) -> Evaluation:
        return Evaluation({"heldout/loss": heldout_loss(net, heldout, context, device)})

    return Course(
        steps=steps,
        batches=partial(pretraining_batches, tokens, context, recipe.batch, stage.seed, steps),
        loss=CrossEntropy(),
        groups=parameter_groups(net, recipe.lr, embedding_lr=recipe.embedding_lr),
        lr_factor=schedules.cosine(warmup=min(0.1, recipe.warmup / max(1, steps)), floor=0.05),
        evaluate=evaluate,
        evaluations=5,
        precision=precision,
        largest=recipe.batch * context,
    )


@torch.no_grad()
def heldout_loss(
    net: nn.Module, tokens: NDArray, context: int, device: torch.device, windows: int = 256
) -> float:
    """Cross-entropy per token, in nats, on the corpus's held-out end [N]; in fp32, whatever the
    training is in."""
    offsets = np.arange(0, len(tokens) - context - 1, context)[:windows]

    def loss(part: NDArray[np.int64]) -> float:
        batch = to(window(tokens, part, context), device)
        found = net.loss_of_tokens(batch) if isinstance(net, Net) else None
        found = cross_entropy(net(batch), batch.targets) if found is None else found
        return found.item() * len(part)

    with autocast("32-true", device):
        parts = np.array_split(offsets, math.ceil(len(offsets) / 32))
        return sum(spread.together(parts, loss, is_sharded(net))) / len(offsets)
