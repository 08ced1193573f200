"""What `gpu.py` measures beside single trainings, and what it checks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp

import torch
from gpu_models import Choices, Machine, Watch, course, network, random_texts, train

from w2sweep.engine.job import StoreJob
from w2sweep.learning.batches import Labelled
from w2sweep.learning.features import states
from w2sweep.learning.hardware import autocast
from w2sweep.learning.inference import completions, probabilities
from w2sweep.learning.learner import Course
from w2sweep.learning.model import Net
from w2sweep.learning.prefix import Prefix
from w2sweep.learning.prompting import log_likelihoods
from w2sweep.learning.stacking import run_side_by_side
from w2sweep.learning.tokens import Ragged
from w2sweep.tasks.heads import Choice, Completion

BUDGET = 16_384
"""Tokens in one forward pass, the default of `runtime.micro_tokens`."""
CLOSE = 2e-3
"""How far probabilities may be from those of a CPU, after some steps in fp32."""
HEAD = Choice(init="zero")


def seconds_of(machine: Machine, work: Callable[[], object]) -> float:
    """Of the second time that it is done."""
    work()
    machine.wait()
    started = time.perf_counter()
    work()
    machine.wait()
    return time.perf_counter() - started


def predicting(machine: Machine, choices: Choices, count: int) -> float:
    """Tokens a second of class probabilities of texts of different lengths."""
    net = network(machine, choices, HEAD).eval()
    texts = _texts(machine, choices, count)
    data = Labelled(Ragged.of(texts), 1, torch.zeros(count, 2), net.pad)

    def predict() -> None:
        with autocast(choices.precision, machine.device):
            probabilities(net, data, BUDGET, machine.device)

    return sum(map(len, texts)) / seconds_of(machine, predict)


def featuring(machine: Machine, choices: Choices, count: int) -> float:
    """Tokens a second of final hidden states."""
    net = network(machine, choices, HEAD).eval()
    texts = _texts(machine, choices, count)
    work = lambda: states(net, texts, 1, BUDGET, machine.device)  # noqa: E731
    return sum(map(len, texts)) / seconds_of(machine, work)


def generating(machine: Machine, choices: Choices, count: int, new: int = 8) -> float:
    """Tokens a second, read and written, of greedy completions behind games of chess."""
    net = network(machine, choices, Completion(new)).eval()
    texts = _texts(machine, choices, count)
    work = lambda: completions(net, texts, new, BUDGET, machine.device)  # noqa: E731
    return (sum(map(len, texts)) + count * new) / seconds_of(machine, work)


def prompting(machine: Machine, choices: Choices, count: int) -> tuple[float, float]:
    """Texts a second behind demonstrations that are read once, and those behind demonstrations
    that are read each time."""
    net = network(machine, choices).eval()
    vocabulary, quarter = choices.shape.vocabulary, machine.length // 4
    [shown] = random_texts(vocabulary, 3 * quarter, 3 * quarter, 1)
    asked = random_texts(vocabulary, quarter // 2, quarter, count)
    rates = []
    for prefix, before in ((shown, []), ([], shown)):
        prompts = [before + ids for ids in asked]

        def ask(prefix: list[int] = prefix, prompts: list[list[int]] = prompts) -> None:
            behind = Prefix(net, prefix, machine.device)
            log_likelihoods(behind, prompts, [[4], [5]], BUDGET, machine.device)

        rates.append(count / seconds_of(machine, ask))
    return rates[0], rates[1]


def _texts(machine: Machine, choices: Choices, count: int) -> list[list[int]]:
    longest = machine.length - 8
    return random_texts(choices.shape.vocabulary, longest // 4, longest, count)


@dataclass(frozen=True)
class Begun:
    """A training before its first step."""

    job: StoreJob
    net: Net
    course: Course


def side_by_side(machine: Machine, choices: Choices, models: int, steps: int) -> float:
    """Seconds of the trainings of so many small models, stacked; their making is not counted."""
    with contextlib.ExitStack() as jobs:
        runs = []
        for seed in range(models):
            job, watch = choices.job(machine, Path(mkdtemp())), Watch(machine, warm=0)
            net = network(machine, choices, HEAD, seed)
            begun = Begun(job, net, course(machine, choices, net, 16, steps, watch, 1e-4))
            runs.append((begun, jobs.enter_context(job)))
        machine.wait()
        started = time.perf_counter()
        failed = list(run_side_by_side(runs, lambda begun, _: begun, lambda *_: None))
        machine.wait()
        took = time.perf_counter() - started
    for error in filter(None, failed):
        raise error
    return took


class Killed(Exception):
    """In place of a signal, which would end the benchmark too."""


class Killing(Watch):
    """Ends a training before its fourth step."""

    def before_step(self, progress: float) -> float:
        if self._steps == 3:
            raise Killed
        return super().before_step(progress)


def resumes(machine: Machine, choices: Choices) -> tuple[bool, bool]:
    """Whether a training that is killed, and goes on from its checkpoint, ends with the same bits
    as one that is not; and whether two that are not do, which is up to the device."""
    folder = Path(mkdtemp())
    one, two = (_trained(machine, choices, Path(mkdtemp())) for _ in range(2))
    killed = network(machine, choices, HEAD)
    with contextlib.suppress(Killed):
        watch = Killing(machine, warm=9)
        train(machine, choices, killed, 4, 6, watch, folder, checkpoint_seconds=1e-9)
    resumed = _trained(machine, choices, folder, seed=1)
    return _alike(one, resumed), _alike(one, two)


def _trained(machine: Machine, choices: Choices, folder: Path, seed: int = 0) -> Net:
    net = network(machine, choices, HEAD, seed)
    train(machine, choices, net, 4, 6, Watch(machine, warm=0), folder)
    return net.to(machine.device)


def _alike(one: Net, other: Net) -> bool:
    found, expected = one.state_dict(), other.state_dict()
    return all(torch.equal(found[name], expected[name]) for name in expected)


def from_cpu(machine: Machine, choices: Choices) -> float:
    """How far the probabilities of a model that was trained here are from those of the same model
    trained on a CPU, at most."""
    choices = replace(choices, precision="32-true")
    start = {name: p.cpu() for name, p in network(machine, choices, HEAD).state_dict().items()}
    texts, said = _texts(machine, choices, 32), []
    for where in (machine, Machine(cpu=True, length=machine.length)):
        net = network(where, choices, HEAD)
        net.load_state_dict(start)
        train(where, choices, net, 4, 5, Watch(where, warm=0), lr=1e-4)
        data = Labelled(Ragged.of(texts), 1, torch.zeros(len(texts), 2), net.pad)
        said.append(probabilities(net.to(where.device), data, BUDGET, where.device))
    return float(abs(said[0] - said[1]).max())
