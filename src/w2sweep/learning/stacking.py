"""Training side by side: several small models of one shape, each on its own course, as one stacked
model.

Batches, losses, clipping, evaluations, curves and checkpoints are each model's own, as if it
trained alone. They make their steps at the same time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from w2sweep.engine.stage import Job
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.learning import checkpoint
from w2sweep.learning.cross_entropy import cross_entropy_of_tokens
from w2sweep.learning.learner import Course, Learner, Steps, Trained, fit, run_trainer
from w2sweep.learning.optimizers import optimizer_of, slots_of
from w2sweep.learning.stacked_llama import StackedBatch, StackedLlama, shape_of, stacked_batch

S = TypeVar("S")
MOMENTS = ("exp_avg", "exp_avg_sq")
"""What AdamW keeps of each parameter: averages of its gradient, and of the square of that."""
TINY = 1e-6
"""What torch adds to the norm of a gradient before it divides by it."""


class Begun(Protocol):
    """A stage that is about to train."""

    @property
    def job(self) -> Job: ...

    @property
    def net(self) -> nn.Module: ...

    @property
    def course(self) -> Course: ...


B = TypeVar("B", bound=Begun)


def run_side_by_side(
    runs: Sequence[tuple[S, Job]],
    begin: Callable[[S, Job], B],
    end: Callable[[B, Trained], None],
) -> Iterator[Exception | None]:
    """Runs stages as `Stage.run_together` says. `begin` does what comes before the first step of a
    stage, and `end` writes its result."""
    begun = [_tried(begin, *run) for run in runs]
    groups = _groups([each for each in begun if not isinstance(each, Exception)])
    group_of = {id(each): group for group in groups for each in group}
    outcomes: dict[int, Trained | Exception] = {}
    for each in begun:
        if isinstance(each, Exception):
            yield each
            continue
        if id(each) not in outcomes:
            group = group_of[id(each)]
            outcomes |= zip(map(id, group), _trained(group), strict=True)
        outcome = outcomes[id(each)]
        yield outcome if isinstance(outcome, Exception) else _failed(end, each, outcome)


def _tried(begin: Callable[[S, Job], B], stage: S, job: Job) -> B | Exception:
    """What `begin` returns, or raises."""
    try:
        return begin(stage, job)
    except Exception as error:
        return error


def _failed(end: Callable[[B, Trained], None], begun: B, trained: Trained) -> Exception | None:
    """What `end` raises; None where it has written the result."""
    try:
        end(begun, trained)
    except Exception as error:
        return error
    return None


def _groups(begun: Sequence[B]) -> list[list[B]]:
    """Stages whose models can be stacked: of one kind, and no more than there is room for in one
    forward pass."""
    found: dict[object, list[list[B]]] = {}
    for each in begun:
        groups = found.setdefault(_kind(each), [[]])
        budget = each.job.runtime.micro_tokens
        if len(groups[-1]) + 1 > budget // max(1, _largest([*groups[-1], each])) > 0:
            groups.append([])
        groups[-1].append(each)
    return [group for groups in found.values() for group in groups if group]


def _largest(group: Sequence[Begun]) -> int:
    return max(each.course.largest for each in group)


def _kind(begun: Begun) -> object:
    """Equal for stages that have models of one shape, courses alike, and made as many steps. Of its
    own for one that cannot be stacked."""
    course, shape = begun.course, shape_of(begun.net)
    known = course.precision in ("32-true", "bf16-mixed")
    plain = known and course.optimizer == "adamw" and course.largest > 0
    if shape is None or not plain or begun.job.rank.of > 1:
        return id(begun)
    names = {p: name for name, p in begun.net.named_parameters()}
    groups = []
    for group in course.groups:
        own = [names[p] for p in group["params"]]
        groups.append((group["base_lr"], *own))
    at = checkpoint.step_at(begun.job.out / "checkpoint.safetensors")
    optimizer = (course.betas, course.weight_decay, course.clip)
    rates = tuple(course.lr_factor(tenth / 10) for tenth in range(1, 11))
    return (shape, course.precision, at, course.steps, tuple(groups), optimizer, rates)


def _trained(group: Sequence[Begun]) -> list[Trained | Exception]:
    """Trains a group. Returns, for each, what training gave, or the error that it alone failed
    of."""
    if len(group) == 1:
        (only,) = group
        try:
            return [fit(only.net, only.course, only.job)]
        except Exception as error:
            return [error]
    together = Learners([Member(each.net.train(), each.course, each.job) for each in group])
    run_trainer(together, group[0].course.precision, group[0].job)
    return together.trained()


class Member(Learner):
    """One of several models that learn side by side. The common optimizer makes its steps; its own
    one only carries its moments into checkpoints, from which the model can go on alone as well."""

    give_moments: Callable[[], None]
    """Gives its own optimizer its part of the moments of the common one."""

    def save(self, optimizer: torch.optim.Optimizer) -> None:
        """Writes a checkpoint."""
        self.give_moments()
        super().save(optimizer)


class Learners(pl.LightningModule):
    """Models side by side, each on its course."""

    def __init__(self, members: Sequence[Member]):
        super().__init__()
        self.automatic_optimization = False
        self.members = list(members)
        self.registered = nn.ModuleList(members)  # so that Lightning moves them to the device
        self.errors: dict[Member, Exception] = {}
        """Of those that have failed. Their part of the stack is computed on, for nothing."""

    @property
    def sound(self) -> list[tuple[int, Member]]:
        """Those that have not failed, and their numbers."""
        numbered = enumerate(self.members)
        return [(n, member) for n, member in numbered if member not in self.errors]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """One optimizer of the stacked parameters, resumed where a killed worker left each."""
        self.own_optimizers = [member.configure_optimizers() for member in self.members]
        steps = {member.state.step for member in self.members}
        if len(steps) > 1:
            raise RuntimeError(f"checkpoints of several steps, {sorted(steps)}, cannot be stacked")
        nets: list[Any] = [member.net for member in self.members]
        self.stack = StackedLlama(nets)
        self.common_optimizer = self._optimizer(self.members[0].course)
        if steps != {0}:
            self._take_moments(float(steps.pop()))
        for number, member in self.sound:
            member.give_moments = partial(self._give_moments, number)
        return self.common_optimizer

    def _optimizer(self, course: Course) -> torch.optim.Optimizer:
        stack = self.stack
        names = {p: name for name, p in stack.nets[0].named_parameters()}
        groups = []
        for group in course.groups:
            within = [stack.places[0][names[p]].stack for p in group["params"]]
            params = [stack.stacks[name] for name in dict.fromkeys(within)]
            base_lr = group["base_lr"]
            groups.append({"params": params, "base_lr": base_lr, "lr": base_lr})
        return optimizer_of(course.optimizer, groups, course.betas, course.weight_decay)

    def _moment(self, slot: str) -> dict[str, Tensor]:
        """One of MOMENTS as the common optimizer has it, by the name of a stacked parameter."""
        state = self.common_optimizer.state
        return {name: state[p][slot] for name, p in self.stack.stacks.items()}

    def _take_moments(self, step: float) -> None:
        """Gives the common optimizer the moments of the members' own ones."""
        state = self.common_optimizer.state
        for p in self.stack.stacks.values():
            moments = {slot: torch.zeros_like(p) for slot in MOMENTS}
            state[p] = {"step": torch.tensor(step, device=p.device), **moments}
        for slot in MOMENTS:
            moment = self._moment(slot)
            for number, own in enumerate(self.own_optimizers):
                for p, part in self.stack.of_model(number, moment):
                    part.copy_(slots_of(own, p)[slot])

    def _give_moments(self, number: int) -> None:
        """Gives a member's own optimizer its part of the moments."""
        own, step = self.own_optimizers[number], float(self.sound[0][1].state.step)
        for slot in MOMENTS:
            for p, part in self.stack.of_model(number, self._moment(slot)):
                own.state[p][slot] = part
                own.state[p]["step"] = torch.tensor(step, device=p.device)

    def train_dataloader(self) -> DataLoader:
        streams = [member.course.batches(member.state.step) for member in self.members]
        batches = (stacked_batch(each) for each in zip(*streams, strict=True))
        return DataLoader(Steps(batches), batch_size=None)

    def training_step(self, batches: list[StackedBatch], index: int) -> None:
        """Some optimizer steps, until all have failed."""
        for batch in batches:
            if self.sound:
                self.one_step(batch)

    def one_step(self, batch: StackedBatch) -> None:
        """One optimizer step of all, and what is due after it for each."""
        optimizer = self.trainer.optimizers[0]
        for number, member in self.sound:
            member.set_rates(self.own_optimizers[number])
            member.set_rates(optimizer)
        ready = self.stack.before_heads(batch)
        losses = {n: self._loss(n, member, *ready[n], batch) for n, member in self.sound}
        optimizer.zero_grad()
        self.manual_backward(torch.stack(list(losses.values())).sum())
        self._clip()
        optimizer.step()
        for number, member in self.sound:
            try:
                member.after_step(losses[number].detach(), self.own_optimizers[number])
            except Exception as error:
                self.errors[member] = error
        if not self.sound:
            self.trainer.should_stop = True

    def _loss(
        self, number: int, member: Member, states: Tensor, head: list[Tensor], batch: StackedBatch
    ) -> Tensor:
        """The loss of one model, a scalar, given its final hidden states [asked, width]. Of tokens
        it is found without keeping their logits, as it is where a model trains alone."""
        targets, course = batch.targets[number], member.course
        of_tokens = targets.ndim == 1 and type(course.loss) is CrossEntropy
        if of_tokens and states.device.type == "cpu":
            if member.state.step == course.steps - 1:
                member.loss_of_nothing = math.log(len(head[0]))
            return cross_entropy_of_tokens(states, head[0], targets)
        return member.loss(self.stack.logits(number, states, head, batch), targets)

    @torch.no_grad()
    def _clip(self) -> None:
        """Clips the gradient of each model by its own norm, as `clip_grad_norm_` does."""
        gradients = [p.grad for p in self.stack.stacks.values() if p.grad is not None]
        norms = torch.stack([g.flatten(1).norm(dim=1) for g in gradients]).norm(dim=0)
        scale = (self.members[0].course.clip / (norms + TINY)).clamp(max=1.0)
        for g in gradients:
            g.mul_(scale.view(-1, *[1] * (g.ndim - 1)))

    def trained(self) -> list[Trained | Exception]:
        """What became of each, with the parameters to keep in the models."""
        self.stack.let_go()
        for member in self.members:
            member.net.eval()
        return [self.errors.get(member) or member.trained() for member in self.members]
