"""Subjects: a model together with the examples of each split, as it reads them. One class a head.

Which class learns with a head is the head's to say (`Head.subject`, `LinearHead.probe`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from w2sweep.building import located
from w2sweep.engine.stage import Job
from w2sweep.experiment.sharded import check_sharded
from w2sweep.experiment.splits import answered
from w2sweep.experiment.stages import Finetune
from w2sweep.learning.batches import Completions, Data, Featured, Labelled
from w2sweep.learning.caches import tokens_at_once
from w2sweep.learning.inference import completions, logits, probabilities
from w2sweep.learning.lengths import completions_within, prompts_within, views_within
from w2sweep.learning.loading import load
from w2sweep.learning.loading_shards import in_shards, load_shards
from w2sweep.learning.model import Net, ProbeNet, save_head
from w2sweep.learning.tokens import Ragged
from w2sweep.learning.tuned import merge_adapters, tune
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Answers, Completion, LinearHead

Splits = Mapping[str, Sequence[Example]]


class Subject(ABC):
    """A model that learns from the labels of one split and answers all of them."""

    net: nn.Module

    @abstractmethod
    def __init__(self, stage: Finetune, splits: Splits, job: Job):
        """The model as it is before it learns."""

    @abstractmethod
    def data(self, split: str, labels: Answers) -> Data:
        """What to train on: a split with labels, in the form of answers."""

    @abstractmethod
    def answers(self, split: str, device: torch.device, budget: int) -> Answers:
        """What it says of a split, in the order of the examples. `budget`: tokens in one forward
        pass."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Writes the model as an ordinary Hugging Face folder, a head of its own beside it."""


def subject_of(stage: Finetune, splits: Splits, job: Job) -> Subject:
    """What learns in this stage."""
    if stage.features is None:
        return located(stage.head.subject)(stage, splits, job)
    assert isinstance(stage.head, LinearHead), "cells refuse to probe for completions"
    return located(stage.head.probe)(stage, splits, job)


class TextSubject(Subject):
    """A language model that reads the examples' texts, each tokenized once."""

    net: Net

    def __init__(self, stage: Finetune, splits: Splits, job: Job):
        folder = job.get(stage.init) if stage.init else None
        self.head = stage.head
        if in_shards(job):
            self.net = _in_shards(stage, folder, torch.device(job.device))
        else:
            self.net = load(stage.backbone, folder, stage.head, stage.seed, stage.base)
            tune(self.net, stage.tuning)
        self.longest = min(stage.recipe.max_tokens, self.net.context)
        if job.runtime.gradient_checkpointing:
            self.net.lm.activation_checkpointing_enable()
        read = (stage.on, *answered(splits))
        self.splits = {name: its for name, its in splits.items() if name in read}

    def save(self, folder: Path) -> None:
        merge_adapters(self.net)
        self.net.save(folder)


def _in_shards(stage: Finetune, folder: Path | None, device: torch.device) -> Net:
    """The model, spread over the ranks. Raises ConfigError where it cannot be."""
    check_sharded(stage.head, stage.recipe)
    given = (stage.backbone, folder, stage.head, stage.seed, stage.tuning, stage.base)
    return load_shards(*given, device)


class Classifier(TextSubject):
    """A linear head on the final hidden state of the last token of each view."""

    def __init__(self, stage: Finetune, splits: Splits, job: Job):
        super().__init__(stage, splits, job)
        read = views_within(self.net.tokenizer, self.splits, self.longest, job)
        self.texts = {name: Ragged.of(ids) for name, ids in read.items()}

    def data(self, split: str, labels: Answers) -> Data:
        views = len(self.splits[split][0].views)
        targets = torch.from_numpy(np.asarray(labels, dtype=np.float32))
        return Labelled(self.texts[split], views, targets, self.net.pad)

    def answers(self, split: str, device: torch.device, budget: int) -> Answers:
        data = self.data(split, nobodys(self.splits[split]))
        return probabilities(self.net, data, tokens_at_once(budget, self.net, device), device)

    def scores(self, split: str, device: torch.device, budget: int) -> NDArray[np.float32]:
        """The logit of each of N texts of a split whose examples have one view [N]: what a reward
        model compares."""
        data = self.data(split, nobodys(self.splits[split]))
        return logits(self.net, data, tokens_at_once(budget, self.net, device), device)[:, 0]


class Generator(TextSubject):
    """The language model's own head, which completes a prompt."""

    head: Completion

    def __init__(self, stage: Finetune, splits: Splits, job: Job):
        super().__init__(stage, splits, job)
        self.job, new = job, self.head.max_new_tokens
        self.prompts = prompts_within(self.net.tokenizer, self.splits, self.longest, new, job)

    def data(self, split: str, labels: Answers) -> Data:
        texts, new = [str(label) for label in labels], self.head.max_new_tokens
        targets = completions_within(self.net.tokenizer, texts, new, self.job)
        return Completions.of(self.prompts[split], targets, self.net.end, self.net.pad)

    def answers(self, split: str, device: torch.device, budget: int) -> Answers:
        new = self.head.max_new_tokens
        return completions(self.net, self.prompts[split], new, budget, device)


class Probe(Subject):
    """A linear head alone, on cached features of a frozen backbone."""

    net: ProbeNet

    def __init__(self, stage: Finetune, splits: Splits, job: Job):
        assert stage.features is not None
        assert isinstance(stage.head, LinearHead)
        found = job.get(stage.features)
        features = {name: torch.from_numpy(x) for name, x in found.items()}
        self.net = ProbeNet(features.pop("head"), stage.head)
        self.features, self.stage, self.job = features, stage, job

    def data(self, split: str, labels: Answers) -> Data:
        targets = torch.from_numpy(np.asarray(labels, dtype=np.float32))
        return Featured(self.features[split], targets)

    def answers(self, split: str, device: torch.device, budget: int) -> Answers:
        data = self.data(split, nobodys(self.features[split]))
        return probabilities(self.net, data, budget, device)

    def save(self, folder: Path) -> None:
        stage = self.stage
        backbone = self.job.get(stage.init) if stage.init else None
        load(stage.backbone, backbone, None, stage.seed, stage.base).save(folder)
        save_head(self.net.own_head.state_dict(), self.net.head, folder)


def nobodys(examples: Sequence | torch.Tensor) -> Answers:
    """In place of labels, where nothing reads them [N, 2]."""
    return np.zeros((len(examples), 2), dtype=np.float32)
