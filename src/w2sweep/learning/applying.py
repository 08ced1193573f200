"""Applying a finetuned model to another task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from w2sweep.building import located
from w2sweep.engine.stage import Job
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.recipe import WeightPrecision
from w2sweep.experiment.tuning import Full
from w2sweep.experiment.weights import Applied, Weights
from w2sweep.learning.hardware import autocast, prepared
from w2sweep.learning.memory import saying_what_to_lower
from w2sweep.learning.subjects import Subject
from w2sweep.tasks.example import Example


@saying_what_to_lower
def apply(stage: Applied, job: Job) -> None:
    """Writes the answers to the other task's test split."""
    device = torch.device(prepared(job))
    subject, precision = restored(stage.of, {"test": job.get(stage.splits)["test"]}, job)
    subject.net.to(device).eval()
    with autocast(precision, device):
        answers = subject.answers("test", device, job.runtime.micro_tokens)
    Predictions({"test": answers}).save(job.out)


def restored(
    weights: Weights, examples: Mapping[str, Sequence[Example]], job: Job
) -> tuple[Subject, WeightPrecision]:
    """A finetuned model that reads other examples, by split; and what it computes in."""
    of = weights.of
    # adapters were merged in fp32; the backbone of a probe is as its features were computed
    precision = "bf16-true" if of.features and of.base == "bf16" else of.precision
    recipe = replace(of.recipe, precision=precision)
    # The model as one that starts from these weights would be before it learns: also a probe, whose
    # weights are a whole model with a head.
    start = replace(of, init=weights, labels=None, tuning=Full(), recipe=recipe)
    return located(of.head.subject)(start, examples, job), precision
