"""What the training stages do: from the results of their inputs to their own result."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from w2sweep import learner
from w2sweep.batches import (
    Completions,
    Data,
    Featured,
    Labelled,
    batches_per_epoch,
    finetuning_batches,
    pretraining_batches,
    window,
)
from w2sweep.identity import identity
from w2sweep.inference import completions, hidden_states, probabilities, to
from w2sweep.learner import Course, fit
from w2sweep.losses import CrossEntropy
from w2sweep.model import Net, Probe, Ragged, encode, homegrown, load, parameter_groups, tune
from w2sweep.predictions import Predictions
from w2sweep.progress import Progress
from w2sweep.runtime import How
from w2sweep.stages import answered
from w2sweep.tasks import Completion, Example, Head
from w2sweep.tracking import tracked
from w2sweep.tuning import LinearProbe

if TYPE_CHECKING:
    from w2sweep.stages import Features, Finetune, Pretrain
    from w2sweep.store import Store

Answers = NDArray[np.float32] | list[str]
EMBEDDING_LR = 5.0  # rare words are met so seldom that their embeddings must learn faster (measured in docs/lab.md)


# --- pretraining -----------------------------------------------------------------------------------------------------


def pretrain(stage: Pretrain, out: Path, store: Store) -> None:
    """Writes the model and its tokenizer as `save_pretrained` does, `curves.jsonl` and `pretrain.json`."""
    how: How = store.how
    device = learner.device(how.runtime)
    rung, context = stage.backbone, stage.text.tokenizer.context
    text = store.get(stage.text)
    net = homegrown(rung, text, context, stage.seed)
    heldout = np.load(text / "heldout.npy", mmap_mode="r")
    curves: list[dict] = []
    if steps := rung.tokens // (rung.pretrain_batch * context):
        tokens = np.load(text / "train.npy", mmap_mode="r")
        course = Course(
            steps=steps,
            batches=partial(pretraining_batches, tokens, context, rung.pretrain_batch, stage.seed, steps),
            loss=CrossEntropy(),
            groups=parameter_groups(net, rung.pretrain_lr, embedding_lr=EMBEDDING_LR),
            lr_factor=learner.cosine_schedule(warmup=min(0.1, rung.pretrain_warmup / steps), floor=0.05),
            evaluate=lambda net, device: {"heldout/loss": heldout_loss(net, heldout, context, device)},
            evaluations=5,
            precision=learner.native(rung.precision, device),
        )
        with logs(stage, how) as log:
            curves = fit(net, course, out, how.runtime, log, Progress(out, stage.what, steps).advance)
    net.lm.save_pretrained(out)
    net.tokenizer.save_pretrained(out)
    write_curves(out, curves)
    facts = {
        "heldout_loss": heldout_loss(net.to(device), heldout, context, device),
        "tokens": steps * rung.pretrain_batch * context,
        "parameters": sum(p.numel() for p in net.parameters()),
    }
    (out / "pretrain.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")


@torch.no_grad()
def heldout_loss(net: nn.Module, tokens: NDArray, context: int, device: torch.device, windows: int = 256) -> float:
    """Cross-entropy per token, in nats, on the corpus's held-out end; in fp32, whatever the training is in."""
    offsets = np.arange(0, len(tokens) - context - 1, context)[:windows]
    losses = []
    with autocast("32-true", device):
        for part in np.array_split(offsets, math.ceil(len(offsets) / 32)):
            batch = to(window(tokens, part, context), device)
            losses.append(cross_entropy(net(batch), batch.targets).item() * len(part))
    return sum(losses) / len(offsets)


# --- finetuning ------------------------------------------------------------------------------------------------------


def finetune(stage: Finetune, out: Path, store: Store) -> None:
    """Writes the predictions on all splits but the supervisor's own, and `curves.jsonl`."""
    how: How = store.how
    device = learner.device(how.runtime)
    recipe, budget = stage.recipe, how.runtime.micro_tokens
    splits = store.get(stage.splits)
    truth = {name: ground_truth(examples, stage.splits.task.head) for name, examples in splits.items()}
    labels = truth if stage.labels is None else dict(store.get(stage.labels).answers)
    subject = probe(stage, stage.features, store) if stage.features else text_model(stage, splits, store)
    subject.net.to(device)
    data = subject.data(stage.on, labels[stage.on])

    def evaluate(net: nn.Module, device: torch.device) -> dict[str, float]:
        with autocast(recipe.precision, device):
            answers = subject.answer("validation", device, budget)
        return {
            "validation/accuracy_own": agreement(answers, labels["validation"]),
            "validation/accuracy_truth": agreement(answers, truth["validation"]),
        }

    steps = recipe.epochs * batches_per_epoch(data, recipe)
    schedules = {
        "linear": learner.linear_schedule, "cosine": learner.cosine_schedule, "constant": learner.constant_schedule
    }  # fmt: skip
    course = Course(
        steps=steps,
        batches=partial(finetuning_batches, data, recipe, stage.seed, budget),
        loss=stage.loss,
        groups=parameter_groups(subject.net, learning_rate(stage), head_lr=recipe.head_lr),
        lr_factor=schedules[recipe.schedule](recipe.warmup),
        evaluate=evaluate,
        evaluations=recipe.evaluations,
        betas=recipe.betas,
        weight_decay=recipe.weight_decay,
        clip=recipe.clip,
        precision=recipe.precision,
        keep_best="validation/accuracy_own" if recipe.early_stop else None,
    )
    with logs(stage, how) as log:
        write_curves(out, fit(subject.net, course, out, how.runtime, log, Progress(out, stage.what, steps).advance))
    subject.net.to(device)
    with autocast(recipe.precision, device):
        Predictions({name: subject.answer(name, device, budget) for name in answered(splits)}).save(out)
    if how.runtime.keep_weights and isinstance(subject.net, Net):
        subject.net.lm.save_pretrained(out / "weights")


def learning_rate(stage: Finetune) -> float:
    """The rung's, scaled by recipe and tuning; a probe has its own."""
    if isinstance(stage.tuning, LinearProbe):
        return stage.tuning.lr
    return stage.backbone.lr * stage.recipe.lr_scale * stage.tuning.lr_scale


@dataclass(frozen=True)
class Subject:
    """A model together with the examples of each split, as it reads them."""

    net: nn.Module
    data: Callable[[str, Answers], Data]
    """(split, labels) -> what to train on."""
    answer: Callable[[str, torch.device, int], Answers]
    """(split, device, token budget) -> its predictions, in the order of the examples."""


def text_model(stage: Finetune, splits: dict[str, list[Example]], store: Store) -> Subject:
    """The backbone with a head, on token ids: each text is tokenized once."""
    head = stage.splits.task.head
    net = load(stage.backbone, store.get(stage.init) if stage.init else None, head, stage.seed)
    longest = min(stage.recipe.max_tokens, net.context)
    tune(net, stage.tuning)
    if store.how.runtime.gradient_checkpointing:
        net.lm.activation_checkpointing_enable()
    pad, end = net.pad, net.end
    names = [name for name in splits if name in (stage.on, *answered(splits))]
    if isinstance(head, Completion):
        new = head.max_new_tokens
        prompts = {n: encode(net.tokenizer, [e.views[0] for e in splits[n]], longest - new) for n in names}

        def learn(name: str, labels: Answers) -> Data:
            targets = encode(net.tokenizer, [str(x) for x in labels], new, begin=False)
            return Completions.of(prompts[name], targets, end, pad)

        return Subject(net, learn, lambda n, device, budget: completions(net, prompts[n], new, budget, device))
    views = len(splits["test"][0].views)
    texts = {n: Ragged.of(encode(net.tokenizer, [v for e in splits[n] for v in e.views], longest)) for n in names}

    def labelled(name: str, labels: Answers) -> Data:
        return Labelled(texts[name], views, torch.from_numpy(np.asarray(labels, dtype=np.float32)), pad)

    def answer(name: str, device: torch.device, budget: int) -> Answers:
        return probabilities(net, labelled(name, unlabelled(splits[name])), budget, device)

    return Subject(net, labelled, answer)


def probe(stage: Finetune, source: Features, store: Store) -> Subject:
    """A head alone, on the cached features."""
    features = {name: torch.from_numpy(x) for name, x in store.get(source).items()}
    head = stage.splits.task.head
    net = Probe(features.pop("head"), classes=getattr(head, "classes", 2))

    def labelled(name: str, labels: Answers) -> Data:
        return Featured(features[name], torch.from_numpy(np.asarray(labels, dtype=np.float32)))

    def answer(name: str, device: torch.device, budget: int) -> Answers:
        return probabilities(net, labelled(name, unlabelled(features[name])), budget, device)

    return Subject(net, labelled, answer)


def features(stage: Features, out: Path, store: Store) -> None:
    """Writes `features.safetensors`: split -> [N, views, width], and `head`: the rows a new head starts from."""
    from safetensors.numpy import save_file

    how: How = store.how
    device = learner.device(how.runtime)
    head = stage.splits.task.head
    net = load(stage.backbone, store.get(stage.init) if stage.init else None, head, stage.seed).to(device).eval()
    progress = Progress(out, stage.what, steps=4, unit="splits")
    result = {"head": net.get_parameter("own_head.weight").detach().cpu().numpy()}
    for done, (name, examples) in enumerate(store.get(stage.splits).items(), start=1):
        texts = Ragged.of(
            encode(net.tokenizer, [v for e in examples for v in e.views], min(stage.max_tokens, net.context))
        )
        data = Labelled(texts, len(examples[0].views), torch.zeros(len(examples), 2), net.pad)
        result[name] = hidden_states(net, data, how.runtime.micro_tokens, device)
        progress.advance(done)
    save_file(result, out / "features.safetensors")


# --- labels, answers, curves -----------------------------------------------------------------------------------------


def ground_truth(examples: Sequence[Example], head: Head) -> Answers:
    """Completions as they are, classes one-hot [N, K]."""
    if isinstance(head, Completion):
        return [str(e.label) for e in examples]
    classes = torch.tensor([int(e.label) for e in examples])
    return one_hot(classes, getattr(head, "classes", 2)).float().numpy()


def unlabelled(examples: Sequence | Tensor) -> NDArray[np.float32]:  # [N, 2]
    """In place of labels, where nothing reads them."""
    return np.zeros((len(examples), 2), dtype=np.float32)


def agreement(answers: Answers, labels: Answers) -> float:
    """The share of equal hard answers."""
    mine, theirs = Predictions({"x": answers}), Predictions({"x": labels})
    return float(mine.agrees(theirs, "x").mean())


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager:
    """The precision of training, for inference; "32-true" within a training of less as well."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed")


@contextlib.contextmanager
def logs(stage: Finetune | Pretrain, how: How) -> Iterator[Callable[[dict], None]]:
    """Where rows of the curves go while a stage trains: to its W&B run, if there is one."""
    with tracked(
        how.tracking, id=stage.key, name=stage.what, group=how.sweep, job_type=stage.role, tags=[stage.backbone.label],
        config=identity(stage),
    ) as run:  # fmt: skip

        def log(row: dict) -> None:
            values = {k if "/" in k else f"train/{k}": v for k, v in row.items() if k not in ("step", "progress")}
            run.log(values, step=row["step"])

        yield log


def write_curves(out: Path, curves: list[dict]) -> None:
    """`curves.jsonl`: a row a line."""
    (out / "curves.jsonl").write_text("".join(json.dumps(row) + "\n" for row in curves), encoding="utf-8")
