"""Applying a finetuned model to another task."""

from __future__ import annotations

from dataclasses import replace

import torch

from w2sweep.building import located
from w2sweep.engine.stage import Job
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.tuning import Full
from w2sweep.experiment.weights import Applied
from w2sweep.learning.hardware import autocast, prepared
from w2sweep.learning.memory import saying_what_to_lower
from w2sweep.learning.subjects import Subject


@saying_what_to_lower
def apply(stage: Applied, job: Job) -> None:
    """Writes the answers to the other task's test split."""
    device = torch.device(prepared(job))
    of = stage.of.of
    # adapters were merged in fp32; the backbone of a probe is as its features were computed
    precision = "bf16-true" if of.features and of.base == "bf16" else of.precision
    recipe = replace(of.recipe, precision=precision)
    # The model as one that starts from these weights would be before it learns: also a probe, whose
    # weights are a whole model with a head.
    start = replace(
        of, init=stage.of, splits=stage.splits, labels=None, tuning=Full(), recipe=recipe
    )
    examples = {"test": job.get(stage.splits)["test"]}
    subject: Subject = located(of.head.subject)(start, examples, job)
    subject.net.to(device).eval()
    with autocast(precision, device):
        answers = subject.answers("test", device, job.runtime.micro_tokens)
    Predictions({"test": answers}).save(job.out)
