"""Replies that a language model writes, and what reward models say of replies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import Tensor

from w2sweep.engine.files import write_json
from w2sweep.engine.stage import Job
from w2sweep.experiment.best_of import Candidates, Scored
from w2sweep.experiment.stages import Adapt
from w2sweep.learning.applying import restored
from w2sweep.learning.batches import Batch
from w2sweep.learning.caches import tokens_at_once
from w2sweep.learning.hardware import autocast, prepared
from w2sweep.learning.loading import load
from w2sweep.learning.memory import saying_what_to_lower
from w2sweep.learning.model import Net
from w2sweep.learning.subjects import Classifier
from w2sweep.learning.tokens import token_ids, without_end
from w2sweep.tasks.example import Example

STREAM = 6
"""Of random numbers: which one of a seed's is that of questions and replies."""


@saying_what_to_lower
def candidates(stage: Candidates, job: Job) -> None:
    """Writes `replies.json` (`questions` [P] and `replies` [P, N]) and `marks.safetensors` (`marks`
    [P, N, R])."""
    task, rng = stage.task, np.random.default_rng((stage.seed, STREAM))
    questions = task.questions(rng, stage.questions)
    if stage.writer is None:
        held_out, n = job.get(stage.splits)["test"], stage.replies
        replies = [task.replies(rng, question, n, held_out) for question in questions]
    else:
        replies = _written(stage, stage.writer, questions, rng, job)
    judged = [task.judged(q, said) for q, said in zip(questions, replies, strict=True)]
    write_json(job.out / "replies.json", {"questions": questions, "replies": replies})
    save_file({"marks": np.stack(judged).astype(np.uint8)}, job.out / "marks.safetensors")


def _written(
    stage: Candidates, writer: Adapt, questions: Sequence[str], rng: np.random.Generator, job: Job
) -> list[list[str]]:
    """Replies that a language model writes to P questions [P, N]."""
    device = torch.device(prepared(job))
    net = load(writer.backbone, job.get(writer), None, stage.seed).to(device).eval()
    prompts = without_end(net.tokenizer, token_ids(net.tokenizer, questions))
    budget = tokens_at_once(job.runtime.micro_tokens, net, device)
    shape, progress = (stage.replies, stage.task.reply_words), job.progress(len(prompts), "texts")
    found = []
    for done, prompt in enumerate(prompts, start=1):
        chances = torch.from_numpy(rng.random(shape)).float().to(device)
        found.append(written(net, prompt, chances, stage.temperature, budget))
        progress.advance(done)
    return found


@torch.no_grad()
def written(
    net: Net, prompt: Sequence[int], chances: Tensor, temperature: float, budget: int
) -> list[str]:
    """N samples of T tokens behind a prompt, or of fewer that end before.

    They do not depend on how many are computed at once: each token is where its chance lies on the
    cumulative probabilities.

    Args:
        net: a language model.
        prompt: token ids.
        chances: for each token a number from 0 to 1 [N, T].
        temperature: what logits are divided by.
        budget: tokens in one forward pass.
    """
    at_once = max(1, budget // (len(prompt) + chances.shape[1]))
    parts = [_continued(net, prompt, part, temperature) for part in chances.split(at_once)]
    said = [_until_end(net, ids) for ids in torch.cat(parts).tolist()]
    return net.tokenizer.batch_decode(said, skip_special_tokens=True)


def _continued(net: Net, prompt: Sequence[int], chances: Tensor, temperature: float) -> Tensor:
    """The tokens behind a prompt [B, T], by their chances [B, T]."""
    ids = torch.tensor(prompt, device=chances.device).repeat(len(chances), 1)
    for chance in chances.T:
        last = torch.zeros_like(ids, dtype=torch.bool)
        last[:, -1] = True
        logits = net.language_logits(Batch(ids, torch.ones_like(ids), last, ids.new_zeros(0)))
        total = (logits.float() / temperature).softmax(-1).cumsum(-1)
        token = torch.searchsorted(total, chance[:, None] * total[:, -1:], right=True)
        ids = torch.cat([ids, token.clamp(max=total.shape[1] - 1)], 1)
    return ids[:, len(prompt) :]


def _until_end(net: Net, ids: list[int]) -> list[int]:
    """The tokens before the one that ends a text."""
    end = net.tokenizer.eos_token_id
    return ids[: ids.index(end)] if end in ids else ids


@saying_what_to_lower
def scores(stage: Scored, job: Job) -> None:
    """Writes `scores.safetensors`: `scores` [P, N]."""
    device = torch.device(prepared(job))
    judged = job.get(stage.candidates)
    examples = [
        e for asked in zip(judged.questions, judged.replies, strict=True) for e in _of(*asked)
    ]
    subject, precision = restored(stage.of, {"test": examples}, job)
    assert isinstance(subject, Classifier), "cells refuse all but reward models"
    subject.net.to(device).eval()
    with autocast(precision, device):
        found = subject.scores("test", device, job.runtime.micro_tokens)
    if job.rank.leads:
        save_file({"scores": found.reshape(judged.marks.shape[:2])}, job.out / "scores.safetensors")


def _of(question: str, replies: Sequence[str]) -> list[Example]:
    """A reply each, behind its question: one view, of which nobody knows a label."""
    return [Example.of(f"{question} {reply}", label=0) for reply in replies]
