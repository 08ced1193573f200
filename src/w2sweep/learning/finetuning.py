"""Finetuning: a subject learns the labels of one split, and answers the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from w2sweep.engine import record
from w2sweep.engine.job import Circumstances, StoreJob
from w2sweep.engine.runtime import Runtime
from w2sweep.engine.stage import Job
from w2sweep.engine.store import Store
from w2sweep.experiment.losses import Loss
from w2sweep.experiment.predictions import Predictions, save_evaluations
from w2sweep.experiment.splits import answered
from w2sweep.experiment.stages import LEARNED, Finetune
from w2sweep.experiment.weights import Weights
from w2sweep.learning import checkpoint, schedules
from w2sweep.learning.batches import Chosen, Data, batches_per_epoch, finetuning_batches
from w2sweep.learning.caches import tokens_at_once
from w2sweep.learning.curves import write_curves
from w2sweep.learning.hardware import autocast, prepared
from w2sweep.learning.learner import Course, Evaluate, Evaluation, Trained, fit
from w2sweep.learning.memory import saying_what_to_lower
from w2sweep.learning.shards import is_sharded, put
from w2sweep.learning.stacking import run_side_by_side
from w2sweep.learning.subjects import Splits, Subject, subject_of
from w2sweep.learning.tuned import parameter_groups
from w2sweep.learning.weighing import Weighed, side_by_side
from w2sweep.tasks.heads import Answers, chosen

SCHEDULES = {
    "linear": schedules.linear,
    "cosine": schedules.cosine,
    "constant": schedules.constant,
}
EVALUATED = ("validation", "test")
"""The splits that are answered at every evaluation."""
BEST_BY = {"own_labels": "validation/accuracy_own", "truth": "validation/accuracy_truth"}
"""The metric whose best evaluation is kept, where a recipe stops early."""


@dataclass(frozen=True)
class _BegunFinetuning:
    """A finetuning before its first step."""

    stage: Finetune
    job: Job
    splits: Splits
    subject: Subject
    course: Course

    @property
    def net(self) -> nn.Module:
        return self.subject.net


KEPT = 2**25
"""Bytes of parameters that are kept at most, so that 1,000 stages take up no more than 32 GB. What
is larger answers its own split in any case: a tenth of its work."""


@saying_what_to_lower
def finetune(stage: Finetune, job: Job) -> None:
    """Writes the predictions on all splits but the supervisor's own, those at every evaluation,
    and `curves.jsonl`; the weights too, where the sweep wants them. The split that it trained on it
    answers where somebody reads that."""
    begun = _begun(stage, job)
    _write(begun, fit(begun.net, begun.course, job))


def finetune_together(runs: Sequence[tuple[Finetune, Job]]) -> Iterator[Exception | None]:
    """Does the same for several stages, whose models it trains side by side where it can."""
    return run_side_by_side(runs, _begun, _write)


def _write(begun: _BegunFinetuning, trained: Trained) -> None:
    """The result of a finetuning, after the last step."""
    stage, job, subject = begun.stage, begun.job, begun.subject
    subject.net.to(job.device)
    asked = answered(begun.splits)
    if stage.on in asked and _answers_later(stage, job, subject):
        asked.remove(stage.on)
        save_file(_learned(subject.net), job.out / LEARNED)
    answers = _answers(stage, job, subject, asked, trained.kept)
    write_curves(job.out, trained.curves)
    save_evaluations(trained.answers, job.out)
    Predictions(answers).save(job.out)
    if job.wants(Weights(stage)) and _saves(job, subject):
        subject.save(job.deliver(Weights(stage)))


def answer_later(stage: Finetune, path: Path) -> Answers:
    """What a model says of the split that it trained on, by what is kept of it in the folder
    `path` of a store. Nothing is trained, and nothing is written."""
    store = Store(path.parents[1], mode="read-only")
    on_cpu = record.facts(path).get("device") == "cpu"
    circumstances = Circumstances(Runtime(accelerator="cpu" if on_cpu else "auto"))
    with TemporaryDirectory() as out, StoreJob(stage, Path(out), circumstances, store.get) as job:
        examples = {stage.on: job.get(stage.splits)[stage.on]}
        subject = subject_of(stage, examples, job)
        for name, found in load_file(path / LEARNED).items():
            put(subject.net.get_parameter(name), found)
        subject.net.to(job.device).eval()
        return _answers(stage, job, subject, [stage.on], {})[stage.on]


def _answers_later(stage: Finetune, job: Job, subject: Subject) -> bool:
    """Whether nobody reads what it says of its own split, and the model is small enough to be kept
    for whoever may. A probe answers at once."""
    if job.is_read_whole or stage.features or is_sharded(subject.net):
        return False
    return sum(p.nbytes for p in checkpoint.learned(subject.net).values()) <= KEPT


def _learned(net: nn.Module) -> dict[str, Tensor]:
    learned = checkpoint.learned(net)
    return {name: p.detach().cpu().contiguous() for name, p in learned.items()}


@saying_what_to_lower
def train_again(weights: Weights, job: Job) -> None:
    """Writes the model of a stage whose predictions are there, and whose weights nobody kept."""
    begun = _begun(weights.of, job)
    fit(begun.net, begun.course, job)
    begun.net.to(job.device)
    if _saves(job, begun.subject):
        begun.subject.save(job.out)


def _saves(job: Job, subject: Subject) -> bool:
    """Whether this process takes part in writing the model. What it has of one that is spread over
    devices is of all of them."""
    return job.rank.leads or is_sharded(subject.net)


def _begun(stage: Finetune, job: Job) -> _BegunFinetuning:
    device, splits = prepared(job), job.get(stage.splits)
    job.note(precision=stage.precision)
    truth = {name: stage.head.labels(examples) for name, examples in splits.items()}
    labels = job.get(stage.labels).answers if stage.labels else truth
    subject = subject_of(stage, splits, job)
    subject.net.to(device)
    taught = labels[stage.on]
    data = subject.data(stage.on, _learned_from(stage, job, taught))
    if stage.rows:
        rows = job.get(stage.rows)
        data, taught = Chosen(data, rows), chosen(taught, rows)
    evaluate = _evaluation(stage, job, subject, labels["validation"], truth)
    course = _course(stage, job, subject.net, data, _loss(stage, taught), evaluate)
    return _BegunFinetuning(stage, job, splits, subject, course)


def _learned_from(stage: Finetune, job: Job, labels: Answers) -> Answers:
    """What a model is to learn of its split: its labels, or those of several supervisors."""
    if stage.weighing is None:
        return labels
    several = [job.get(supervisor).answers for supervisor in stage.weighing.supervisors]
    return side_by_side([answers[stage.on] for answers in several])


def _loss(stage: Finetune, labels: Answers) -> Loss:
    """What a model minimizes, which knows the labels that it is taught; a loss with a memory is a
    new one for each training."""
    loss, its = stage.loss.knowing(labels), stage.weighing
    if its is None:
        return loss
    return Weighed(loss, len(its.supervisors), its.lr, its.agreed)


def _course(
    stage: Finetune, job: Job, net: nn.Module, data: Data, loss: Loss, evaluate: Evaluate
) -> Course:
    recipe = stage.recipe.for_examples(len(data.lengths))
    tokens = tokens_at_once(job.runtime.micro_tokens, net, torch.device(job.device))
    return Course(
        steps=recipe.epochs * batches_per_epoch(data, recipe),
        batches=partial(finetuning_batches, data, recipe, stage.seed, tokens * job.rank.of),
        loss=loss,
        groups=parameter_groups(net, stage.lr, head_lr=recipe.head_lr),
        lr_factor=SCHEDULES[recipe.schedule](recipe.warmup),
        evaluate=evaluate,
        evaluations=recipe.evaluations,
        betas=recipe.betas,
        weight_decay=recipe.weight_decay,
        clip=recipe.clip,
        precision=stage.precision,
        optimizer=recipe.optimizer,
        keep_best=BEST_BY.get(recipe.early_stop),
        average=recipe.ema,
        largest=int(data.lengths.max()) * data.views * min(recipe.batch_size, len(data.lengths)),
    )


def _evaluation(
    stage: Finetune, job: Job, subject: Subject, own: Answers, truth: Mapping[str, Answers]
) -> Evaluate:
    """What is looked at while training: answers, their accuracy against the ground truth, and on
    the validation split that against the stage's own labels."""
    budget, agree = job.runtime.micro_tokens, stage.head.agree

    def evaluate(net: nn.Module, device: torch.device) -> Evaluation:
        with autocast(stage.precision, device):
            answers = {name: subject.answers(name, device, budget) for name in EVALUATED}
        metrics = {"validation/accuracy_own": float(agree(answers["validation"], own).mean())}
        for name, said in answers.items():
            metrics[f"{name}/accuracy_truth"] = float(agree(said, truth[name]).mean())
        return Evaluation(metrics, answers)

    return evaluate


def _answers(
    stage: Finetune,
    job: Job,
    subject: Subject,
    asked: Iterable[str],
    there: Mapping[str, Answers],
) -> dict[str, Answers]:
    """Of the splits that are asked for, some of which are there already."""
    device, budget = torch.device(job.device), job.runtime.micro_tokens
    answers = {}
    with autocast(stage.precision, device):
        for name in asked:
            kept = there.get(name)
            answers[name] = subject.answers(name, device, budget) if kept is None else kept
    return answers
