"""Training: one LightningModule for every stage that trains, and all that is known of Lightning's
trainer. Several small models at once are trained by that of `stacking.py`."""

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
from itertools import islice
from typing import Any, Generic, TypeVar

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.trainer.connectors.signal_connector import _SignalConnector
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from w2sweep.engine.stage import Job
from w2sweep.experiment.losses import CrossEntropy, Loss
from w2sweep.experiment.recipe import OptimizerName, WeightPrecision
from w2sweep.learning import checkpoint, spread
from w2sweep.learning.averaging import Average
from w2sweep.learning.batches import Batch, Share, share
from w2sweep.learning.gradients import Gradients
from w2sweep.learning.hardware import autocast, flushing_denormals
from w2sweep.learning.model import Net
from w2sweep.learning.optimizers import optimizer_of
from w2sweep.learning.schedules import Schedule
from w2sweep.learning.shards import is_sharded
from w2sweep.learning.weighing import Remembering
from w2sweep.tasks.heads import Answers

T = TypeVar("T")
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)  # it advertises at every fit

AT_A_TIME = 16
"""Steps whose batches Lightning fetches and moves to the device together."""
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
    """From this step on, each batch as its micro-batches, of as many tokens as all processes that
    run the stage have room for together."""
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
    average: float = 0.0
    """As `Recipe.ema`."""
    largest: int = 0
    """Tokens of the largest batch, padding included; 0: nobody said."""


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
        self.gradients = Gradients(net, self.manual_backward, job, self.loss_without_logits)
        self.loss_of_nothing = math.inf
        """What a model would have in the last step that finds all classes equally likely."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The course's optimizer, resumed where a killed worker left it."""
        course = self.course
        groups = [{**g, "lr": g["base_lr"]} for g in course.groups]
        optimizer = optimizer_of(course.optimizer, groups, course.betas, course.weight_decay)
        self.state = checkpoint.restore(self.checkpoint, self.net, optimizer)
        self.losses = list(torch.tensor(self.state.losses, device=self.device))
        self.average = Average(self.net, course.average, self.state.average)
        if isinstance(course.loss, Remembering):
            course.loss.memory = self.state.memory or course.loss.memory
        for row in self.state.curves:  # a tracker's run of the same stage begins as the first did
            self.job.log(row)
        return optimizer

    def train_dataloader(self) -> DataLoader:
        budget = self.job.runtime.micro_tokens
        batches = self.course.batches(self.state.step)
        shares = (share(micro, spread.rank(), spread.ranks(), budget) for micro in batches)
        # a GPU fetches from pinned memory while it computes; of other memory all would wait
        return DataLoader(Steps(shares), batch_size=None, pin_memory=self.job.device == "cuda")

    def training_step(self, shares: list[Share], index: int) -> None:
        """Some optimizer steps: between two calls Lightning and its loader take as long as a small
        model's whole step."""
        for its in shares:
            self.one_step(its)

    def one_step(self, batch: Share) -> None:
        """One optimizer step, and what is due after it."""
        optimizer = self.trainer.optimizers[0]
        self.set_rates(optimizer)
        learning = [p for group in optimizer.param_groups for p in group["params"]]
        loss = self.gradients.of(batch, self.loss, self.course.loss.separable, learning)
        self.gradients.clip(learning, self.course.clip)
        optimizer.step()
        self.after_step(loss, optimizer)

    def set_rates(self, optimizer: torch.optim.Optimizer) -> None:
        """Gives each group of parameters its learning rate of the next step."""
        factor = self.course.lr_factor((self.state.step + 1) / (self.course.steps + 1))
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The course's loss, a scalar, in fp32 whatever the model computes in."""
        progress = self.state.step / self.course.steps
        with autocast("32-true", self.device):
            if self.state.step == self.course.steps - 1:
                nothing = self.course.loss(torch.zeros_like(logits), targets, progress)
                self.loss_of_nothing = nothing.item()
            return self.course.loss(logits, targets, progress)

    def loss_without_logits(self, batch: Batch) -> Tensor | None:
        """The course's loss of a batch, a scalar; None where its logits are needed for it."""
        net = self.net
        if type(self.course.loss) is not CrossEntropy or not isinstance(net, Net):
            return None
        found = net.loss_of_tokens(batch)
        if found is not None and self.state.step == self.course.steps - 1:
            self.loss_of_nothing = math.log(net.vocabulary)
        return found

    def after_step(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        """Counts a step, whose loss was this scalar, and logs, evaluates and saves when it is time
        to."""
        self.losses.append(loss)
        if self.state.step == 0:
            self.state.first_loss = loss.item()
        self.state.step += 1
        self.average.update(self.state.step)
        step, steps, lr = self.state.step, self.course.steps, optimizer.param_groups[0]["lr"]
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
        if step < steps and self.saves_now():
            self.save(optimizer)

    def saves_now(self) -> bool:
        """Whether a checkpoint is due, and this process has a part in it: the first, or all that
        hold the model together."""
        overdue = time.monotonic() - self.saved_at > self.job.runtime.checkpoint_seconds
        return spread.agreed(overdue) if is_sharded(self.net) else overdue and spread.leads()

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
        with self.average.in_place():
            found = self.course.evaluate(self.net, self.device)
            score = found.metrics.get(self.course.keep_best or "", -math.inf)
            if score > self.state.best_score:
                self.state.best_score, self.state.best_step = score, self.state.step
                self.state.best = checkpoint.copied(self.net)
        self.net.train()
        self.state.answers[self.state.step] = found.answers
        return found.metrics

    def save(self, optimizer: torch.optim.Optimizer) -> None:
        """Writes a checkpoint."""
        self.state.losses = [loss.item() for loss in self.losses]
        self.state.memory = getattr(self.course.loss, "memory", [])
        checkpoint.save(self.checkpoint, self.state, self.net, optimizer)
        self.saved_at = time.monotonic()

    def trained(self) -> Trained:
        """What there is to tell, with the parameters to keep in the model."""
        state = self.state
        self.average.put()
        if state.best:
            self.net.load_state_dict(state.best, strict=False)
        kept = state.best_step if state.best else state.step
        return Trained(state.curves, state.answers, state.answers.get(kept, {}))


class Steps(IterableDataset, Generic[T]):
    """What steps are made of, as Lightning wants it, some at a time."""

    def __init__(self, batches: Iterator[T]):
        self.batches = batches

    def __iter__(self) -> Iterator[list[T]]:
        while some := list(islice(self.batches, AT_A_TIME)):
            yield some


def due(step: int, steps: int, times: int) -> bool:
    """Whether, of `times` moments spread evenly over `steps` with the last at the end, one falls on
    this step."""
    return step * times // steps > (step - 1) * times // steps


def fit(net: nn.Module, course: Course, job: Job) -> Trained:
    """Trains `net` in place, from the checkpoint in `job.out` if there is one, and leaves it in
    evaluation mode."""
    learner = Learner(net.train(), course, job)
    run_trainer(learner, course.precision, job)
    trained = learner.trained()
    net.eval()
    return trained


def run_trainer(learner: pl.LightningModule, precision: WeightPrecision, job: Job) -> None:
    """Has Lightning train a module."""
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
            _trainer(precision, job).fit(learner)
        except SystemExit as exit:
            if isinstance(exit.__context__, KeyboardInterrupt):  # what Lightning makes of Ctrl-C
                raise KeyboardInterrupt from exit
            raise


def _trainer(precision: WeightPrecision, job: Job) -> pl.Trainer:
    trainer = pl.Trainer(
        accelerator=job.runtime.accelerator,
        devices=[job.rank.number] if job.device == "cuda" else 1,
        # what is in bf16 already needs no plugin, which would take the head with it
        precision="bf16-mixed" if precision == "bf16-mixed" else "32-true",
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
