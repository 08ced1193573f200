"""What else the stored answers of a cell say of its student and its supervisor.

Everything is a function of test answers: class probabilities [N, K], the class or completion that
is given to each example [N], and whether it is right [N]. Losses and divergences are in nats.
Completions have no probabilities here, so of them there are errors alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from w2sweep.results.intervals import Estimate

SMALLEST = 1e-6
"""Probabilities below are taken for this: of a float32 softmax many are zero but for rounding, and
a single zero would make a mean of logarithms infinite. One example then costs at most 13.8 nats."""
BINS = 15
"""Of confidences between 0 and 1, equally wide (Guo et al. 2017, arXiv 1706.04599)."""
CONFIDENT = 0.8
"""A student is confident from this probability of its answer on."""
UNCERTAIN = 0.65
"""A supervisor is uncertain up to this probability of its answer."""


def misfit(student: ArrayLike, supervisor: ArrayLike) -> float:
    """KL(student || supervisor) in nats, averaged over the examples: how far the student is from
    what it was taught.

    In the theory of Charikar et al. 2024 (arXiv 2405.15116), for cross-entropy by Mulgund and
    Pabbaraju 2025 (arXiv 2501.19105), a student that is the projection of its supervisor onto a
    convex class which has the truth in it gains at least this much test loss over its supervisor.

    Args:
        student: probabilities [N, K].
        supervisor: probabilities [N, K].
    """
    p, q = _proper(student), _proper(supervisor)
    return float((p * np.log(p / q)).sum(1).mean())


def loss(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Cross-entropy with the true classes [N], in nats."""
    return float(-np.log(_of(_proper(probabilities), labels)).mean())


def capa(first: ArrayLike, second: ArrayLike, labels: ArrayLike) -> float | None:
    """Chance-adjusted probabilistic agreement of two models: kappa_p of Goel et al. 2025 (arXiv
    2502.04313). 1: they say the same; 0: they are as alike as two independent models of their
    accuracies.

    kappa_p = (c_obs - c_exp) / (1 - c_exp), where c_obs is the mean of sum_k p1_k p2_k, and c_exp =
    a1 a2 + (1 - a1)(1 - a2) / (K - 1) with the mean probabilities a1, a2 of the right class: what
    is not on the right class is taken as spread evenly over the K - 1 others. None where c_exp is
    1, for then both are always sure and right.

    Args:
        first: probabilities [N, K].
        second: probabilities [N, K].
        labels: the true classes [N].
    """
    p, q = np.asarray(first, float), np.asarray(second, float)
    a, b = float(_of(p, labels).mean()), float(_of(q, labels).mean())
    observed = float((p * q).sum(1).mean())
    expected = a * b + (1 - a) * (1 - b) / (p.shape[1] - 1)
    return (observed - expected) / (1 - expected) if expected < 1 - 1e-9 else None


def errors(
    same: ArrayLike, weak_correct: ArrayLike, student_correct: ArrayLike
) -> dict[str, float]:
    """What became of the supervisor's errors, as shares of all test examples.

    `inherited`: the student gives the very same wrong answer; `corrected`: it is right where the
    supervisor is wrong; `new`: it is wrong where the supervisor is right; `other`: both are wrong,
    in different ways, which of two classes cannot be. With what both answer rightly they sum to 1.

    Args:
        same: whether the two give the same answer [N].
        weak_correct: whether the supervisor is right [N].
        student_correct: whether the student is [N].
    """
    same, weak = np.asarray(same, bool), np.asarray(weak_correct, bool)
    student = np.asarray(student_correct, bool)
    both_wrong = ~weak & ~student
    found = {
        "errors_inherited": both_wrong & same,
        "errors_other": both_wrong & ~same,
        "errors_corrected": ~weak & student,
        "errors_new": weak & ~student,
    }
    return {name: float(which.mean()) for name, which in found.items()}


def brier(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Half of the mean squared distance between probabilities and the truth (Brier 1950): between 0
    and 1, and of two classes the mean of (p - y)^2."""
    p = np.asarray(probabilities, float)
    truth = np.eye(p.shape[1])[np.asarray(labels, int)]
    return float(((p - truth) ** 2).sum(1).mean() / 2)


def reliability(probabilities: ArrayLike, correct: ArrayLike) -> NDArray[np.float64]:
    """Mean confidence, accuracy and count of each bin [BINS, 3]; those of an empty bin are zero.

    Confidence is the probability of the answer that is given; bin i holds those in
    (i / BINS, (i + 1) / BINS].

    Args:
        probabilities: [N, K].
        correct: whether the most likely class is the right one [N].
    """
    confidence = np.asarray(probabilities, float).max(1)
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    count = np.bincount(bins, minlength=BINS)
    filled = np.maximum(count, 1)
    mean = np.bincount(bins, confidence, BINS) / filled
    accuracy = np.bincount(bins, np.asarray(correct, float), BINS) / filled
    return np.stack([mean, accuracy, count.astype(float)], 1)


def calibration_error(curve: ArrayLike) -> float:
    """Expected calibration error: the mean over examples of |accuracy - confidence| of their bin
    (Guo et al. 2017). `curve`: [bins, 3], see `reliability`."""
    mean, accuracy, count = np.asarray(curve, float).T
    return float((count * abs(accuracy - mean)).sum() / count.sum())


def blind_spots(student: ArrayLike, supervisor: ArrayLike, student_correct: ArrayLike) -> float:
    """The share of test examples where the student is confidently wrong and its supervisor, being
    uncertain, cannot tell (arXiv 2604.25077). Thresholds: CONFIDENT, UNCERTAIN.

    Args:
        student: probabilities [N, K].
        supervisor: probabilities [N, K].
        student_correct: whether the student is right [N].
    """
    sure = np.asarray(student).max(1) >= CONFIDENT
    unsure = np.asarray(supervisor).max(1) <= UNCERTAIN
    return float((sure & unsure & ~np.asarray(student_correct, bool)).mean())


def of_classes(
    answers: Mapping[str, ArrayLike], correct: Mapping[str, ArrayLike], labels: ArrayLike
) -> dict[str, float]:
    """All numbers of a cell that need probabilities, by name.

    Args:
        answers: `weak`, `student`, `ceiling` -> probabilities [N, K].
        correct: of each, whether it is right [N].
        labels: the true classes [N].
    """
    weak, student = answers["weak"], answers["student"]
    similarity = capa(student, weak, labels)
    found = {"misfit": misfit(student, weak)}
    found |= {} if similarity is None else {"capa": similarity}
    found["blind_spots"] = blind_spots(student, weak, correct["student"])
    for name, said in answers.items():
        found[f"{name}_loss"] = loss(said, labels)
        found[f"{name}_brier"] = brier(said, labels)
        found[f"{name}_ece"] = calibration_error(reliability(said, correct[name]))
    return found | {"loss_gained": found["weak_loss"] - found["student_loss"]}


def over_seeds(found: Sequence[Mapping[str, float]]) -> dict[str, Estimate]:
    """Each number's mean over the seeds that have it, with the standard error between them; none of
    a single seed."""
    names = dict.fromkeys(name for seed in found for name in seed)
    means = {}
    for name in names:
        values = [seed[name] for seed in found if name in seed]
        means[name] = _mean(values)
    return means


def pooled(curves: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """The reliability of several seeds' examples together [BINS, 3], from that of each."""
    every = np.asarray(curves, float)
    count = every[:, :, 2]
    total = count.sum(0)
    means = (every[:, :, :2] * count[:, :, None]).sum(0) / np.maximum(total, 1)[:, None]
    return np.column_stack([means, total])


def detectable(found: Estimate) -> float | None:
    """The smallest true effect that would be told from zero four times in five, at the 5 % level:
    Bloom's minimum detectable effect (Evaluation Review 19, 1995).

    It is t_0.975 + z_0.8 standard errors: an effect is told from zero where the estimate is further
    away than half its 95 % interval, and 80 % of the estimates of a true effect lie above it minus
    0.84 standard errors. None where there is no interval.
    """
    if found.low is None or found.high is None or found.se is None:
        return None
    return (found.high - found.low) / 2 + Z_OF_POWER * found.se


Z_OF_POWER = 0.8416
"""The 80 % quantile of the normal distribution."""


def _mean(values: Sequence[float]) -> Estimate:
    error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else None
    return Estimate(float(np.mean(values)), None if error is None else float(error))


def _proper(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Clipped from below, and summing to 1 again."""
    p = np.maximum(np.asarray(probabilities, float), SMALLEST)
    return p / p.sum(1, keepdims=True)


def _of(p: NDArray[Any], labels: ArrayLike) -> NDArray[Any]:
    """The probabilities of the true classes [N]."""
    return p[np.arange(len(p)), np.asarray(labels, int)]
