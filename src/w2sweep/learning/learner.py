"""Training: one LightningModule for every stage that trains. All that knows Lightning."""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.trainer.connectors.signal_connector import _SignalConnector
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from w2sweep.engine.stage import Job
from w2sweep.experiment.losses import Loss
from w2sweep.experiment.recipe import OptimizerName, WeightPrecision
from w2sweep.learning import checkpoint, spread
from w2sweep.learning.batches import Batch
from w2sweep.learning.hardware import autocast, flushing_denormals
from w2sweep.learning.memory import halved, in_main_memory, is_out_of_memory
from w2sweep.learning.optimizers import optimizer_of
from w2sweep.learning.schedules import Schedule
from w2sweep.learning.shards import is_sharded
from w2sweep.tasks.heads import Answers

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)  # it advertises at every fit

ROWS = 50
"""Rows of the curves, evaluations not counted."""
DIVERGED = 4.0
"""A training has diverged whose loss is, to its end, so many times what it was before the first
step and so many times that of a model that knows nothing."""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found."""

    metrics: Mapping[str, float]
    answers: Mapping[str, Answers] = field(default_factory=dict)
    """By split."""


Evaluate = Callable[[nn.Module, torch.device], Evaluation]


@dataclass(frozen=True)
class Course:
    """What a model is to go through."""

    steps: int
    batches: Callable[[int], Iterator[list[Batch]]]
    """From this step on, each batch as its micro-batches."""
    loss: Loss
    groups: list[dict[str, Any]]
    """Parameter groups, each with its `base_lr`."""
    lr_factor: Schedule
    evaluate: Evaluate
    evaluations: int
    """How many, evenly spaced, the last at the end."""
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.0
    clip: float = 1.0
    precision: WeightPrecision = "32-true"
    optimizer: OptimizerName = "adamw"
    keep_best: str | None = None
    """The metric whose best evaluation is the result; None: the last step is."""


@dataclass(frozen=True)
class Trained:
    """What there is to tell of a training."""

    curves: list[dict[str, Any]]
    """A row per logged step, with `step`, `progress`, `loss`, `lr`, the loss's coefficients and, at
    evaluations, their metrics."""
    answers: Mapping[int, Mapping[str, Answers]]
    """Step of an evaluation -> split -> what was answered."""
    kept: Mapping[str, Answers]
    """The answers of the evaluation whose parameters are the result, by split."""


class Learner(pl.LightningModule):
    """A model on its course. Steps are made by hand, for a batch's micro-batches belong
    together."""

    def __init__(self, net: nn.Module, course: Course, job: Job):
        super().__init__()
        self.automatic_optimization = False
        self.net, self.course, self.job = net, course, job
        self.progress = job.progress(course.steps)
        self.checkpoint = job.out / "checkpoint.safetensors"
        self.state = checkpoint.State()
        self.saved_at = time.monotonic()
        self.losses: list[Tensor] = []
        self.micro_tokens: int | None = None
        """Tokens in one forward pass, where memory ran out with those of the course's batches."""
        self.loss_of_nothing = math.inf
        """What a model would have in the last step that finds all classes equally likely."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The course's optimizer, resumed where a killed worker left it."""
        course = self.course
        groups = [{**g, "lr": g["base_lr"]} for g in course.groups]
        optimizer = optimizer_of(course.optimizer, groups, course.betas, course.weight_decay)
        self.state = checkpoint.restore(self.checkpoint, self.net, optimizer)
        self.losses = list(torch.tensor(self.state.losses, device=self.device))
        for row in self.state.curves:  # a tracker's run of the same stage begins as the first did
            self.job.log(row)
        return optimizer

    def train_dataloader(self) -> DataLoader:
        return DataLoader(Steps(self.course.batches(self.state.step)), batch_size=None)

    def training_step(self, micro: list[Batch], index: int) -> None:
        """One optimizer step, and what is due after it."""
        optimizer = self.trainer.optimizers[0]
        course, step = self.course, self.state.step
        progress = step / course.steps
        factor = course.lr_factor((step + 1) / (course.steps + 1))
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor
        self.losses.append(self.gradient_of(micro, progress))
        if step == 0:
            self.state.first_loss = self.losses[0].item()
        learning = [p for group in optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(learning, course.clip)
        optimizer.step()
        self.state.step += 1
        self.after_step(optimizer.param_groups[0]["lr"])

    def gradient_of(self, micro: list[Batch], progress: float) -> Tensor:
        """The batch's loss, a scalar. Its gradient is left in the parameters; where memory runs out
        on the way, it is computed again with less at once, now and from now on."""
        while True:
            self.trainer.optimizers[0].zero_grad()
            parts = micro
            if self.micro_tokens is not None:
                parts = [part for batch in micro for part in batch.within(self.micro_tokens)]
            try:
                return self.backward_through(parts, progress)
            except Exception as error:
                largest = max(parts, key=lambda part: part.mask.numel())
                if len(largest.ids) == largest.views or not is_out_of_memory(error):
                    raise
                if is_sharded(self.net):  # the other ranks wait in the middle of a layer
                    raise
            # behind the handler, for the error holds on to what filled the memory
            self.micro_tokens = halved(largest.mask.numel())
            self.job.note(micro_tokens=self.micro_tokens)

    def backward_through(self, micro: list[Batch], progress: float) -> Tensor:
        """The batch's loss, a scalar. Its gradient is added up over micro-batches whose graphs
        never live together."""
        if is_sharded(self.net):
            return self._backward_in_shards(micro, progress)
        if len(micro) == 1:
            total = self.loss(self.net(micro[0]), micro[0].targets, progress)
            self.manual_backward(total)
            return total.detach()
        if self.course.loss.separable:
            return self._backward_one_by_one(micro, progress)
        return self._backward_by_logits(micro, progress)

    def loss(self, logits: Tensor, targets: Tensor, progress: float) -> Tensor:
        """The course's loss, a scalar, in fp32 whatever the model computes in."""
        with autocast("32-true", self.device):
            if self.state.step == self.course.steps - 1:
                nothing = self.course.loss(torch.zeros_like(logits), targets, progress)
                self.loss_of_nothing = nothing.item()
            return self.course.loss(logits, targets, progress)

    def _backward_one_by_one(self, micro: list[Batch], progress: float) -> Tensor:
        examples = sum(len(m.targets) for m in micro)
        parts = []
        for m in micro:
            share = len(m.targets) / examples
            part = self.loss(self.net(m), m.targets, progress) * share
            self.manual_backward(part)
            parts.append(part.detach())
        return torch.stack(parts).sum()

    def _backward_by_logits(self, micro: list[Batch], progress: float) -> Tensor:
        """A loss that looks at the whole batch is first differentiated with respect to the logits;
        then each micro-batch is run again and given its part of that gradient. (Gradient caching:
        Gao et al. 2021.)"""
        with torch.no_grad():
            logits = torch.cat([self.net(m) for m in micro])
        logits.requires_grad_()
        targets = torch.cat([m.targets for m in micro])
        total = self.loss(logits, targets, progress)
        (gradient,) = torch.autograd.grad(total, logits)
        sizes = [len(m.targets) for m in micro]
        for m, part in zip(micro, gradient.split(sizes), strict=True):
            self.manual_backward((self.net(m) * part).sum())
        return total.detach()

    def _backward_in_shards(self, micro: list[Batch], progress: float) -> Tensor:
        """The same by all ranks, which run the model equally often: all of them put each layer
        together."""
        share = -(-sum(m.mask.numel() for m in micro) // spread.ranks())
        micro = [part for m in micro for part in m.within(share)]
        if not self.course.loss.separable:
            return self._backward_by_gathered_logits(micro, progress)
        examples = sum(len(m.targets) for m in micro)
        total = torch.zeros((), device=self.device)
        for _, m, counts in spread.in_step(micro):
            part = self.loss(self.net(m), m.targets, progress) * (
                counts * len(m.targets) / examples
            )
            self.manual_backward(part)
            total += part.detach()
        return spread.summed(total)

    def _backward_by_gathered_logits(self, micro: list[Batch], progress: float) -> Tensor:
        """A loss that looks at the whole batch, whose logits all ranks are told."""
        own = list(spread.in_step(micro))
        sizes = [len(m.targets) for m in micro]
        with torch.no_grad():
            found = [(n, self.net(m) * counts) for n, m, counts in own]
        logits = found[0][1].new_zeros(sum(sizes), found[0][1].shape[1])
        for n, its in found:
            logits.split(sizes)[n].add_(its)
        logits = spread.summed(logits).requires_grad_()
        total = self.loss(logits, torch.cat([m.targets for m in micro]), progress)
        (gradient,) = torch.autograd.grad(total, logits)
        for n, m, counts in own:
            self.manual_backward((self.net(m) * gradient.split(sizes)[n] * counts).sum())
        return total.detach()

    def after_step(self, lr: float) -> None:
        """Logs, evaluates and saves when it is time to."""
        step, steps = self.state.step, self.course.steps
        self.progress.advance(step)
        evaluation = due(step, steps, self.course.evaluations)
        if evaluation or due(step, steps, ROWS):
            row = {"step": step, "progress": step / steps, "loss": self.mean_loss(), "lr": lr}
            row |= self.course.loss.coefficients(step / steps)
            self.state.curves.append(row)
            if step == steps:
                self.check_converged()
            if evaluation:
                row |= self.evaluate()
            self.job.log(row)
        overdue = time.monotonic() - self.saved_at > self.job.runtime.checkpoint_seconds
        if is_sharded(self.net):  # all ranks take part in saving
            overdue = spread.as_the_first(overdue, self.device)
        if overdue and step < steps:
            self.save()

    def mean_loss(self) -> float:
        """Over the steps since the last row. Raises FloatingPointError where it is no number: the
        predictions would look like those of a model at chance."""
        loss = torch.stack(self.losses).mean().item()
        if not math.isfinite(loss):
            at = f"by step {self.state.step} of {self.course.steps}"
            raise FloatingPointError(f"the loss is {loss} {at}: lower the learning rate")
        self.losses.clear()
        return loss

    def check_converged(self) -> None:
        """Raises FloatingPointError where the loss was far above where it began, and far above that
        of a model that knows nothing, all through the last quarter of the training."""
        losses = [row["loss"] for row in self.state.curves]
        last = losses[-max(2, math.ceil(len(losses) / 4)) :]
        began = max(self.loss_of_nothing, self.state.first_loss)
        if len(losses) > 2 and 0 < DIVERGED * began < min(last):
            raise FloatingPointError(
                f"the loss was {self.state.first_loss:.3g} at the first step and {losses[-1]:.3g} "
                f"at the last, where {self.loss_of_nothing:.3g} is to know nothing: lower the "
                "learning rate"
            )

    def evaluate(self) -> Mapping[str, float]:
        """The metrics of the course's evaluation, whose answers are kept; its parameters too, if it
        is the best so far and the best is wanted."""
        self.net.eval()
        found = self.course.evaluate(self.net, self.device)
        self.net.train()
        self.state.answers[self.state.step] = found.answers
        score = found.metrics.get(self.course.keep_best or "", -math.inf)
        if score > self.state.best_score:
            learned = checkpoint.learned(self.net)
            self.state.best_score, self.state.best_step = score, self.state.step
            self.state.best = {name: in_main_memory(p) for name, p in learned.items()}
        return found.metrics

    def save(self) -> None:
        """Writes a checkpoint."""
        self.state.losses = [loss.item() for loss in self.losses]
        checkpoint.save(self.checkpoint, self.state, self.net, self.trainer.optimizers[0])
        self.saved_at = time.monotonic()

    def trained(self) -> Trained:
        """What there is to tell, with the parameters to keep in the model."""
        state = self.state
        if state.best:
            self.net.load_state_dict(state.best, strict=False)
        kept = state.best_step if state.best else state.step
        return Trained(state.curves, state.answers, state.answers.get(kept, {}))


class Steps(IterableDataset):
    """An iterator as Lightning wants it."""

    def __init__(self, batches: Iterator[list[Batch]]):
        self.batches = batches

    def __iter__(self) -> Iterator[list[Batch]]:
        return self.batches


def due(step: int, steps: int, times: int) -> bool:
    """Whether, of `times` moments spread evenly over `steps` with the last at the end, one falls on
    this step."""
    return step * times // steps > (step - 1) * times // steps


def fit(net: nn.Module, course: Course, job: Job) -> Trained:
    """Trains `net` in place, from the checkpoint in `job.out` if there is one, and leaves it in
    evaluation mode."""
    learner = Learner(net.train(), course, job)
    with warnings.catch_warnings(), flushing_denormals(), keeping_the_handler_of_interrupts():
        # it needs none
        warnings.filterwarnings("ignore", "The 'train_dataloader' does not have many workers")
        warnings.filterwarnings("ignore", "GPU available but not used")
        # one process is what is meant, wherever there is a Slurm
        warnings.filterwarnings("ignore", "The `srun` command is available")
        # Lightning 2.6 with torch 2.13
        warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*")
        # logits are one, and nothing changes them in place
        warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view")
        try:
            _trainer(course, job).fit(learner)
        except SystemExit as exit:
            if isinstance(exit.__context__, KeyboardInterrupt):  # what Lightning makes of Ctrl-C
                raise KeyboardInterrupt from exit
            raise
    trained = learner.trained()
    net.eval()
    return trained


def _trainer(course: Course, job: Job) -> pl.Trainer:
    trainer = pl.Trainer(
        accelerator=job.runtime.accelerator,
        devices=1,
        # what is in bf16 already needs no plugin, which would take the head with it
        precision="bf16-mixed" if course.precision == "bf16-mixed" else "32-true",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        plugins=[LightningEnvironment()],  # one process, whatever Slurm says of the job
    )
    trainer._signal_connector = NoSignals(trainer)
    return trainer


class NoSignals(_SignalConnector):
    """Leaves signals to those who started the process: the launcher that requeues a job which is
    about to be pre-empted, and the command that ends at SIGTERM as at Ctrl-C."""

    def register_signal_handlers(self) -> None:
        """Registers none. Lightning's own would make of SIGTERM an exit with code 0, later."""


@contextlib.contextmanager
def keeping_the_handler_of_interrupts() -> Iterator[None]:
    """After Ctrl-C Lightning ignores all further ones, for the rest of the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
