"""Probes of frozen features that are fitted at once, without steps: nearest neighbours, and
logistic regression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from w2sweep.tasks.heads import LinearHead

Floats = NDArray[np.floating]
Said = tuple[NDArray[np.float32], list[NDArray[np.float32]]]
"""Of the examples that a probe is fitted to, and of others."""
AT_ONCE = 1024
"""Examples whose distances to all others are in memory together."""
ITERATIONS = 500
"""Of L-BFGS, at most."""


def nearest(x: Floats, q: Floats, others: Sequence[Floats], neighbors: int) -> Said:
    """The mean label of the nearest of N examples: for each of them without itself, and for others.
    Where there are fewer than `neighbors`, of all.

    Args:
        x: features [N, views, width].
        q: labels [N, K].
        others: features [M, views, width] each.
        neighbors: how many.
    """
    points, labels = _points(x), torch.from_numpy(q).double()
    numbers = torch.arange(len(points))
    if x.shape[1] == 2:  # each pair in both orders
        points, labels = torch.cat([points, -points]), torch.cat([labels, labels.flip(-1)])
        numbers = numbers.repeat(2)

    def mean_label(at: Tensor, own: Tensor | None) -> Tensor:
        """Of examples [M, width], with these numbers [M] where they are among the points."""
        distances = torch.cdist(at, points)
        if own is not None:
            distances.masked_fill_(numbers == own[:, None], torch.inf)
        room = min(neighbors, len(points) - (len(points) // len(x) if own is not None else 0))
        return labels[distances.topk(room, largest=False).indices].mean(1)

    parts = torch.arange(len(x)).split(AT_ONCE)
    own = torch.cat([mean_label(points[part], part) for part in parts])
    further: list[NDArray[np.float32]] = []
    for features in others:
        some = _points(features).split(AT_ONCE)
        further.append(_array(torch.cat([mean_label(at, None) for at in some])))
    return _array(own), further


def _points(x: Floats) -> Tensor:
    """What examples [N, views, width] are compared by [N, width]: of two texts the difference."""
    features = torch.from_numpy(x).double()
    return features[:, 0] if x.shape[1] == 1 else features[:, 1] - features[:, 0]


def _array(p: Tensor) -> NDArray[np.float32]:
    return p.float().numpy()


def regressed(
    x: Floats, q: Floats, others: Sequence[Floats], head: LinearHead, l2: float, folds: int
) -> Said:
    """What logistic regression says: of each of N examples as it is fitted to the other folds, and
    of others as it is fitted to all.

    Args:
        x: features [N, views, width].
        q: labels [N, K].
        others: features [M, views, width] each.
        head: how features become classes.
        l2: what is added to the mean cross-entropy, times the squared weights.
        folds: row n is in fold n mod `folds`.
    """
    features, labels = torch.from_numpy(x).double(), torch.from_numpy(q).double()
    own, fold = torch.empty_like(labels), torch.arange(len(x)) % folds
    for held_out in range(folds):
        seen, judged = fold != held_out, fold == held_out
        own[judged] = _Regression(features[seen], labels[seen], head, l2).says(features[judged])
    whole = _Regression(features, labels, head, l2)
    return _array(own), [_array(whole.says(torch.from_numpy(at).double())) for at in others]


class _Regression:
    """Logistic regression, fitted to features [N, views, width] and labels [N, K]."""

    def __init__(self, x: Tensor, q: Tensor, head: LinearHead, l2: float):
        outputs = len(head.words)
        self.head = head
        self.weight = torch.zeros(outputs, x.shape[-1], dtype=x.dtype, requires_grad=True)
        self.bias = torch.zeros(outputs, dtype=x.dtype, requires_grad=head.bias)
        self._fit(x, q, l2)

    def _fit(self, x: Tensor, q: Tensor, l2: float) -> None:
        optimizer = torch.optim.LBFGS(
            [self.weight, self.bias] if self.bias.requires_grad else [self.weight],
            max_iter=ITERATIONS,
            tolerance_grad=1e-9,
            tolerance_change=1e-12,
            line_search_fn="strong_wolfe",
        )

        def loss() -> float:
            optimizer.zero_grad()
            found = cross_entropy(self.logits(x), q) + l2 * self.weight.square().sum()
            found.backward()
            return found.item()

        optimizer.step(loss)

    def logits(self, x: Tensor) -> Tensor:
        """[N, views, width] -> [N, K]."""
        return self.head.logits(x @ self.weight.t() + self.bias)

    @torch.no_grad()
    def says(self, x: Tensor) -> Tensor:
        """Probabilities [N, K]."""
        return self.logits(x).softmax(-1)
