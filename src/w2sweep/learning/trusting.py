"""Trust: a small head that learns from a few examples when a teacher is right."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from w2sweep.engine.stage import Job
from w2sweep.experiment.trust import Trust
from w2sweep.learning.hardware import prepared

STEPS = 200
"""Of L-BFGS, at most, each on all examples."""


def trust(stage: Trust, job: Job) -> None:
    """Writes `trust.npy`: the score of each example [N]."""
    prepared(job)
    states = job.get(stage.features)[stage.on]
    labels = np.asarray(job.get(stage.labels).answers[stage.on])
    known = job.get(stage.known)
    examples = job.get(stage.splits)[stage.on]
    right = stage.head.correct(labels[known], [examples[row] for row in known])
    inputs = inputs_of(states.reshape(len(states), -1), labels)
    net = fitted(inputs[known], right, stage.hidden, stage.penalty, stage.seed)
    np.save(job.out / "trust.npy", scores(net, inputs))


def inputs_of(states: NDArray[np.float32], labels: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a head judges by: hidden states [N, width], standardized, once for each class and zero
    where another class is said, which class that is, and with which probability.

    A linear head so has weights of its own for each class that may be said: where the state speaks
    for a class, that is for the label if it is this class, and against it otherwise.

    Args:
        states: of N examples [N, width].
        labels: class probabilities [N, K].
    """
    plain = (states - states.mean(0)) / (states.std(0) + 1e-6)
    said = np.eye(labels.shape[1], dtype=np.float32)[labels.argmax(1)]
    of_class = (said[:, :, None] * plain[:, None, :]).reshape(len(states), -1)
    sure = labels.max(1, keepdims=True)
    return np.concatenate([of_class, said, said * sure], axis=1).astype(np.float32)


def fitted(
    inputs: NDArray[np.float32], right: NDArray[np.bool_], hidden: int, penalty: float, seed: int
) -> nn.Module:
    """A head that says of n examples [n, D] whether they are labelled rightly [n], by L-BFGS."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = _head(inputs.shape[1], hidden)
    x, y = torch.from_numpy(inputs), torch.from_numpy(right.astype(np.float32))
    weights = list(net.parameters())
    optimizer = torch.optim.LBFGS(weights, max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        squared = torch.stack([p.square().sum() for p in weights]).sum()
        found = binary_cross_entropy_with_logits(net(x)[:, 0], y) + penalty / 2 * squared
        found.backward()
        return found

    optimizer.step(loss)  # type: ignore[arg-type]
    return net


def _head(inputs: int, hidden: int) -> nn.Module:
    """Starts at zero where it is linear: that has one minimum."""
    if hidden:
        return nn.Sequential(nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, 1))
    linear = nn.Linear(inputs, 1)
    for p in linear.parameters():
        nn.init.zeros_(p)
    return linear


@torch.no_grad()
def scores(net: nn.Module, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
    """How likely each of N examples is labelled rightly [N]."""
    return net(torch.from_numpy(inputs))[:, 0].double().sigmoid().numpy()
