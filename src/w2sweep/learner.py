"""Training: one LightningModule for every stage that trains. The only module that knows Lightning."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from w2sweep import checkpoint
from w2sweep.losses import Loss
from w2sweep.model import Batch
from w2sweep.runtime import Runtime
from w2sweep.values import ConfigError

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)  # it advertises at every fit

Evaluation = Callable[[nn.Module, torch.device], dict[str, float]]
Log = Callable[[dict], None]
"""Is given every row of the curves, as it is written."""
Advance = Callable[[int], None]
"""Is told after every step how many are done."""


@dataclass(frozen=True)
class Course:
    """What a model is to go through."""

    steps: int
    batches: Callable[[int], Iterator[list[Batch]]]
    """From this step on, each batch as its micro-batches."""
    loss: Loss
    groups: list[dict]
    """Parameter groups, each with its `base_lr`."""
    lr_factor: Callable[[float], float]
    """Progress in 0..1 -> what multiplies the learning rates."""
    evaluate: Evaluation
    evaluations: int
    """How many, evenly spaced, the last at the end."""
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.0
    clip: float = 1.0
    precision: Any = "32-true"
    keep_best: str | None = None
    """The metric whose best evaluation is the result; None: the last step is."""


class Learner(pl.LightningModule):
    """A model on its course. Steps are made by hand, since a batch's micro-batches belong together."""

    def __init__(self, net: nn.Module, course: Course, out: Path, runtime: Runtime, log: Log, advance: Advance):
        super().__init__()
        self.automatic_optimization = False
        self.net, self.course, self.runtime, self.log_row, self.advance = net, course, runtime, log, advance
        self.checkpoint = out / "checkpoint.safetensors"
        self.state = checkpoint.State()
        self.saved_at = time.monotonic()
        self.losses: list[Tensor] = []

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW, resumed where a killed worker left it."""
        groups = [{**g, "lr": g["base_lr"]} for g in self.course.groups]
        optimizer = torch.optim.AdamW(
            groups, betas=self.course.betas, weight_decay=self.course.weight_decay, fused=True
        )
        self.state = checkpoint.restore(self.checkpoint, self.net, optimizer)
        self.losses = list(torch.tensor(self.state.losses, device=self.device))
        return optimizer

    def train_dataloader(self) -> DataLoader:
        return DataLoader(Steps(self.course.batches(self.state.step)), batch_size=None)

    def training_step(self, micro: list[Batch], index: int) -> None:
        """One optimizer step, and what is due after it."""
        optimizer = self.trainer.optimizers[0]
        progress = self.state.step / self.course.steps
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * self.course.lr_factor((self.state.step + 1) / (self.course.steps + 1))
        optimizer.zero_grad()
        self.losses.append(self.backward_through(micro, progress))
        nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], self.course.clip)
        optimizer.step()
        self.state.step += 1
        self.after_step(progress, optimizer.param_groups[0]["lr"])

    def backward_through(self, micro: list[Batch], progress: float) -> Tensor:
        """The batch's loss; its gradient is added up over micro-batches whose graphs never live together.

        A loss that looks at the whole batch is first differentiated with respect to the logits; then each
        micro-batch is run again and given its part of that gradient. (Gradient caching: Gao et al. 2021.)
        """
        loss = self.course.loss
        sizes = [len(m.targets) for m in micro]
        if len(micro) == 1:
            total = loss(self.net(micro[0]), micro[0].targets, progress)
            self.manual_backward(total)
            return total.detach()
        if loss.separable:
            parts = []
            for m, size in zip(micro, sizes, strict=True):
                part = loss(self.net(m), m.targets, progress) * (size / sum(sizes))
                self.manual_backward(part)
                parts.append(part.detach())
            return torch.stack(parts).sum()
        with torch.no_grad():
            logits = torch.cat([self.net(m) for m in micro])
        logits.requires_grad_()
        total = loss(logits, torch.cat([m.targets for m in micro]), progress)
        (gradient,) = torch.autograd.grad(total, logits)
        for m, part in zip(micro, gradient.split(sizes), strict=True):
            self.manual_backward((self.net(m) * part).sum())
        return total.detach()

    def after_step(self, progress: float, lr: float) -> None:
        """Logs, evaluates and saves when it is time to."""
        step, steps = self.state.step, self.course.steps
        self.advance(step)
        evaluation = due(step, steps, self.course.evaluations)
        if evaluation or due(step, steps, 50):
            loss = torch.stack(self.losses).mean().item()
            if not math.isfinite(loss):  # its predictions would look like those of a model at chance
                raise FloatingPointError(f"the loss is {loss} by step {step} of {steps}: lower the learning rate")
            row = {
                "step": step,
                "progress": step / steps,
                "loss": loss,
                "lr": lr,
                **self.course.loss.coefficients(progress),
            }
            self.losses.clear()
            self.record({**row, **(self.evaluate() if evaluation else {})})
        if time.monotonic() - self.saved_at > self.runtime.checkpoint_seconds and step < steps:
            self.state.losses = [loss.item() for loss in self.losses]
            checkpoint.save(self.checkpoint, self.state, self.net, self.trainer.optimizers[0])
            self.saved_at = time.monotonic()

    def record(self, row: dict) -> None:
        self.state.curves.append(row)
        self.log_row(row)

    def evaluate(self) -> dict[str, float]:
        """The course's evaluation; keeps the parameters if it is the best so far and the best is wanted."""
        self.net.eval()
        metrics = self.course.evaluate(self.net, self.device)
        self.net.train()
        score = metrics.get(self.course.keep_best or "", -math.inf)
        if score > self.state.best_score:
            self.state.best_score = score
            self.state.best = {k: p.detach().clone() for k, p in checkpoint.learned(self.net).items()}
        return metrics


class Steps(IterableDataset):
    """An iterator as Lightning wants it."""

    def __init__(self, batches: Iterator[list[Batch]]):
        self.batches = batches

    def __iter__(self) -> Iterator[list[Batch]]:
        return self.batches


def due(step: int, steps: int, times: int) -> bool:
    """Whether, of `times` moments spread evenly over `steps` with the last at the end, one falls on this step."""
    return step * times // steps > (step - 1) * times // steps


def fit(
    net: nn.Module, course: Course, out: Path, runtime: Runtime, log: Log, advance: Advance = lambda step: None
) -> list[dict]:
    """Trains `net` in place, from the checkpoint in `out` if there is one, and leaves it in evaluation mode.

    Returns the curves: a row per logged step, with `step`, `progress`, `loss`, `lr`, the loss's coefficients and, at
    evaluations, what `course.evaluate` says.
    """
    learner = Learner(net.train(), course, out, runtime, log, advance)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The 'train_dataloader' does not have many workers")  # it needs none
        warnings.filterwarnings("ignore", "GPU available but not used")
        warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*")  # Lightning 2.6 with torch 2.13
        trainer = pl.Trainer(
            accelerator=runtime.accelerator, devices=1, precision=course.precision, max_epochs=1, logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            plugins=[LightningEnvironment()],  # one process, whatever Slurm says of the job it runs in
        )  # fmt: skip
        torch.set_flush_denormal(True)  # tiny models drift into denormal numbers, which are slow
        try:
            trainer.fit(learner)
        except SystemExit as exit:  # what Lightning makes of Ctrl-C and of SIGTERM, of the latter with code 0
            raise KeyboardInterrupt from exit
        finally:
            torch.set_flush_denormal(False)  # it holds for the whole process, which may have other work
    if learner.state.best:
        net.load_state_dict(learner.state.best, strict=False)
    learner.checkpoint.unlink(missing_ok=True)
    net.eval()
    return learner.state.curves


def device(runtime: Runtime) -> torch.device:
    """Where this runtime computes; also tells torch how many threads it may use."""
    torch.set_num_threads(runtime.threads)
    keep_freed_memory()
    there = torch.cuda.is_available()
    if runtime.accelerator == "gpu" and not there:
        raise ConfigError(f"runtime.accelerator=gpu, but torch {torch.__version__} sees none here: say auto or cpu")
    return torch.device("cuda" if there and runtime.accelerator != "cpu" else "cpu")


def native(precision: str, device: torch.device) -> str:
    """fp32 in place of bf16 on CPUs that gain nothing from it. To the precision of bf16 the results are the same; bit
    for bit those of different processors never are."""
    return "32-true" if device.type == "cpu" and not cpu_gains_from_bf16() else precision


@functools.cache
def cpu_gains_from_bf16() -> bool:
    """Measured, in milliseconds, since to have the instructions is not to be fast with them: matmuls in bf16 were seen
    at 2.2 times the rate of those in fp32 on an AMD, at 0.5 on an Intel without AMX, at 0.02 where it is emulated."""
    return _matmul_seconds(torch.float32) > 1.5 * _matmul_seconds(torch.bfloat16)


def _matmul_seconds(dtype: torch.dtype, width: int = 128, tokens: int = 384) -> float:
    """The best of twenty, which a busy machine leaves alone."""
    x, w = torch.ones(tokens, width, dtype=dtype), torch.ones(width, width, dtype=dtype)
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        torch.matmul(x, w)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def keep_freed_memory() -> None:
    """Tells glibc not to give large freed blocks back to the kernel, only to fetch them, cleared, for the next step:
    a quarter of the CPU time of a small language model on a vocabulary of 4,096. Elsewhere it does nothing."""
    mmap_threshold, trim_threshold = -3, -1  # of malloc.h
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(mmap_threshold, 2**30)
        libc.mallopt(trim_threshold, 2**31 - 1)


def linear_schedule(warmup: float, floor: float = 0.0) -> Callable[[float], float]:
    """Up from 0 over `warmup`, then down linearly to `floor`."""
    return lambda x: min(1.0, x / warmup if warmup else 1.0) * (floor + (1 - floor) * (1 - x))


def cosine_schedule(warmup: float, floor: float = 0.0) -> Callable[[float], float]:
    """Up from 0 over `warmup`, and down along half a cosine to `floor`."""
    return lambda x: min(1.0, x / warmup if warmup else 1.0) * (floor + (1 - floor) * (1 + math.cos(math.pi * x)) / 2)


def constant_schedule(warmup: float) -> Callable[[float], float]:
    """Up from 0 over `warmup`, then constant."""
    return lambda x: min(1.0, x / warmup if warmup else 1.0)
