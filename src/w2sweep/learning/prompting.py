"""Prompting: what a language model that was not finetuned answers, read from its logits of the
answer words. Burns et al. 2023, section 5.2.1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from w2sweep.engine.stage import Job
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.prompting import Prompted
from w2sweep.experiment.splits import answered
from w2sweep.learning.batches import Batch, Completions, Data, Labelled, Rows
from w2sweep.learning.hardware import prepared
from w2sweep.learning.inference import completions, in_order, to
from w2sweep.learning.lengths import Ids, prompts_within, warn
from w2sweep.learning.loading import load
from w2sweep.learning.memory import saying_what_to_lower
from w2sweep.learning.model import Net
from w2sweep.learning.prefix import Prefix
from w2sweep.learning.tokens import Ragged, keep_end, marks_of, token_ids
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Answers, Completion
from w2sweep.tasks.wording import Wording
from w2sweep.values import ConfigError

Splits = Mapping[str, Sequence[Example]]


@saying_what_to_lower
def prompted(stage: Prompted, job: Job) -> None:
    """Writes the predictions on all splits but the supervisor's own."""
    device = prepared(job)
    splits = job.get(stage.splits)
    folder = job.get(stage.init) if stage.init else None
    head = stage.head if stage.wording is None else None
    net = load(stage.backbone, folder, head, stage.seed, stage.base).to(device).eval()
    say = _completed if stage.wording is None else _chosen
    Predictions(say(stage, job, net, splits, device)).save(job.out)


def _completed(
    stage: Prompted, job: Job, net: Net, splits: Splits, device: torch.device
) -> dict[str, Answers]:
    """Greedy completions of the examples' own texts."""
    assert isinstance(stage.head, Completion), "classes are asked for with a wording"
    new, longest = stage.head.max_new_tokens, min(stage.max_tokens, net.context)
    asked = {name: splits[name] for name in answered(splits)}
    prompts = prompts_within(net.tokenizer, asked, longest, new, job)
    budget = job.runtime.micro_tokens
    return {name: completions(net, ids, new, budget, device) for name, ids in prompts.items()}


def _chosen(
    stage: Prompted, job: Job, net: Net, splits: Splits, device: torch.device
) -> dict[str, Answers]:
    """Class probabilities [N, K] of each split, by the answer words."""
    assert stage.wording is not None
    wording, budget = stage.wording, job.runtime.micro_tokens
    writer = Writer(net.tokenizer, wording, min(stage.max_tokens, _room(net, wording)))
    queries = {name: writer.prompts(splits[name]) for name in answered(splits)}
    longest = max(len(ids) for its in queries.values() for ids in its)
    prefix = Prefix(net, _before(stage, job, net, writer, splits, longest), device)
    job.note(prompts_cut=writer.cut)
    unasked = np.zeros(len(wording.words), dtype=np.float32)  # what is answered to no content
    if stage.calibrated:
        unasked = log_likelihoods(prefix, [writer.content_free], writer.words, budget, device)[0]
    progress, answers = job.progress(len(queries), unit="splits"), {}
    for done, (name, its) in enumerate(queries.items(), start=1):
        found = log_likelihoods(prefix, its, writer.words, budget, device) - unasked
        answers[name] = probabilities(found.reshape(len(splits[name]), -1, len(unasked)), wording)
        progress.advance(done)
    return answers


def _room(net: Net, wording: Wording) -> int:
    """Tokens that a prompt may have in the model's context, with an answer word behind it."""
    marks, _ = marks_of(net.tokenizer)
    words = max(map(len, token_ids(net.tokenizer, wording.words, begin=False)))
    return net.context - len(marks) - words


class Writer:
    """Writes prompts as token ids, without the tokens that mark where texts begin.

    Raises ConfigError where the tokenizer lacks an answer word, or the template leaves no room for
    a text in `longest` tokens.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, wording: Wording, longest: int):
        self.tokenizer, self.wording, self.longest = tokenizer, wording, longest
        self.words = _words(tokenizer, wording)
        self.cut = 0
        """How many prompts had too long texts so far, of which only the ends are shown."""
        self._slots = 2 if wording.compares else 1
        self._bare = len(self._ids([wording.filled([""] * self._slots)])[0])
        if self._bare + self._slots > longest:
            raise ConfigError(
                f"task.wording.template has {self._bare} tokens, which leaves no room for a text "
                f"in {longest} (recipe.max_tokens, or the model's context): shorten it, or use "
                "models with a longer context"
            )

    @property
    def content_free(self) -> list[int]:
        """The prompt that asks nothing."""
        return self._ids([self.wording.filled([self.wording.content_free] * self._slots)])[0]

    def prompts(self, examples: Sequence[Example]) -> Ids:
        """The prompts of N examples, those of an example side by side."""
        return self._within([texts for e in examples for texts in self.wording.asked(e)])

    def demonstrations(self, examples: Sequence[Example], labels: Sequence[int]) -> Ids:
        """N examples with their answers, each as it stands before what comes next."""
        shown = [self.wording.shown(e, a) for e, a in zip(examples, labels, strict=True)]
        prompts = self._within([texts for texts, _ in shown])
        between = self._ids([self.wording.between])[0]
        answers = self._ids([word for _, word in shown])
        return [p + answer + between for p, answer in zip(prompts, answers, strict=True)]

    def _within(self, texts: Sequence[Sequence[str]]) -> Ids:
        """Prompts of at most `longest` tokens; what is cut off is the beginning of texts."""
        whole = self._ids([self.wording.filled(its) for its in texts])
        for n, ids in enumerate(whole):
            if len(ids) > self.longest:
                whole[n] = self._shortened(texts[n])
                self.cut += 1
        return whole

    def _shortened(self, texts: Sequence[str]) -> list[int]:
        """The prompt with the ends of its texts, which share the room that there is."""
        room = self.longest - self._bare
        lengths = list(map(len, self._ids(texts)))
        shares = [max(room // len(texts), room - (sum(lengths) - n)) for n in lengths]
        ends = [self._end(text, share) for text, share in zip(texts, shares, strict=True)]
        return keep_end(self._ids([self.wording.filled(ends)])[0], self.longest, 0)

    def _end(self, text: str, tokens: int) -> str:
        """The last tokens of a text, as text."""
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        offsets: list[tuple[int, int]] = encoded["offset_mapping"]  # type: ignore[assignment]
        return text[offsets[-tokens][0] :] if len(offsets) > tokens else text

    def _ids(self, texts: Sequence[str]) -> Ids:
        return token_ids(self.tokenizer, texts, begin=False)


def _words(tokenizer: PreTrainedTokenizerFast, wording: Wording) -> Ids:
    """The answer words as token ids. Raises ConfigError where the tokenizer cannot tell them
    apart."""
    found = token_ids(tokenizer, wording.words, begin=False)
    for word, ids in zip(wording.words, found, strict=True):
        if not ids or tokenizer.unk_token_id in ids or found.count(ids) > 1:
            raise ConfigError(
                f"task.wording.words: the tokenizer does not know {word!r}, or makes the same of "
                "another one: use words that are in its vocabulary"
            )
    return found


def _before(
    stage: Prompted, job: Job, net: Net, writer: Writer, splits: Splits, longest: int
) -> list[int]:
    """What comes before all examples: the tokens that mark where a text begins, and as many whole
    demonstrations as leave room for the longest example in the model's context.

    Raises ConfigError where not one has room: that would be zero-shot under another name.
    """
    marks, _ = marks_of(net.tokenizer)
    if not stage.shots:
        return marks
    shown = _demonstrations(stage, job, writer, splits[stage.on])
    room = net.context - len(marks) - longest - max(map(len, writer.words))
    kept = int((np.cumsum([len(ids) for ids in shown]) <= room).sum())
    job.note(shots=kept)
    if not kept:
        raise ConfigError(
            f"no demonstration has room before the longest prompt of {longest} tokens in the "
            f"{net.context} of the model's context: lower recipe.max_tokens, raise "
            "ladder.tokenizer.context of a homegrown ladder, or use method=zero_shot"
        )
    if kept < len(shown):
        warn(
            f"task {stage.splits.task.name}: {kept} of {len(shown)} demonstrations have room "
            f"before the longest prompt in the {net.context} tokens of the model's context"
        )
    order = np.random.default_rng((stage.seed, 1)).permutation(kept)
    return marks + [token for n in order for token in shown[n]]


def _demonstrations(stage: Prompted, job: Job, writer: Writer, examples: Sequence[Example]) -> Ids:
    """All demonstrations that are asked for, with the answers that the stage says."""
    said = job.get(stage.shown).answers[stage.on] if stage.shown else stage.head.labels(examples)
    labels = stage.head.hard(said)
    picked = spread(labels, stage.shots, stage.seed)
    return writer.demonstrations([examples[n] for n in picked], labels[picked].tolist())


def spread(labels: NDArray[np.int64], n: int, seed: int) -> NDArray[np.int64]:
    """Which `n` of N examples with these labels [N] are shown, first one of each class, then
    another one of each: the first ones in an order that depends on the seed alone [n]."""
    order = np.random.default_rng((seed, 0)).permutation(len(labels))
    seen: Counter[int] = Counter()
    turns = []
    for label in labels[order].tolist():
        turns.append(seen[label])
        seen[label] += 1
    return order[np.argsort(turns, kind="stable")][:n]


@dataclass(frozen=True)
class Behind:
    """Examples that stand behind a prefix, whose tokens count where memory does."""

    data: Data
    prefix: int
    """Tokens."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        return self.data.lengths + self.prefix

    @property
    def views(self) -> int:
        return self.data.views

    def batch(self, rows: Rows) -> Batch:
        return self.data.batch(rows)


@torch.no_grad()
def log_likelihoods(
    prefix: Prefix, prompts: Ids, words: Ids, budget: int, device: torch.device
) -> NDArray[np.float32]:
    """The log-likelihood of each of K words, as token ids, behind each of S prompts [S, K].

    Words of one token each are read from one pass, longer ones from one a word. `budget`: tokens in
    one forward pass.
    """
    firsts = torch.tensor([ids[0] for ids in words], device=device)
    single, before, pad = all(len(ids) == 1 for ids in words), len(prefix.ids), prefix.net.pad

    def at_once(batch: Batch) -> Tensor:
        return prefix.logits(to(batch, device)).float().log_softmax(-1)[:, firsts]

    def one_by_one(batch: Batch) -> Tensor:
        batch = to(batch, device)
        said = prefix.logits(batch).float().log_softmax(-1)
        told = said.gather(1, batch.targets[:, None])[:, 0]
        rows = batch.asked.nonzero()[:, 0]
        return told.new_zeros(len(batch.ids)).index_add(0, rows, told)

    if single:
        data = Labelled(Ragged.of(prompts), 1, torch.zeros(len(prompts), 2), pad)
        return in_order(Behind(data, before), budget, at_once)
    sequences = [prompt + word for prompt in prompts for word in words]
    lengths = np.repeat([len(prompt) for prompt in prompts], len(words))
    data = Completions(Ragged.of(sequences), lengths, pad)
    found = in_order(Behind(data, before), budget, one_by_one)
    return found.reshape(len(prompts), len(words))


def probabilities(found: NDArray[np.float32], wording: Wording) -> NDArray[np.float32]:
    """Class probabilities [N, K] of N examples, from the log-likelihoods of the K words behind each
    of their prompts [N, prompts, K]. Shown in both orders, two views are answered by the mean of
    both."""
    told = torch.from_numpy(found)
    if found.shape[1] == 1:
        return told[:, 0].softmax(-1).numpy()
    if not wording.compares:  # by how much the word for the better one is likelier, view by view
        return (told[..., 1] - told[..., 0]).softmax(-1).numpy()
    said = told.softmax(-1)
    return ((said[:, 0] + said[:, 1].flip(-1)) / 2).numpy()
