"""Losses: (logits [B, K], targets, progress in 0..1) -> scalar, the mean over the batch.

p are the student's answers, q the weak labels. A new loss is one class in a file here, and one file
in conf/loss.
"""

from w2sweep.experiment.losses.base import Loss
from w2sweep.experiment.losses.confidence import BufferedConfidence, ConfidenceLoss
from w2sweep.experiment.losses.cross_entropy import CrossEntropy, GeneralizedCrossEntropy
from w2sweep.experiment.losses.labels import BalancedLabels, LabelSmoothing
from w2sweep.experiment.losses.own_answers import AdaptConf, EntropyLoss, ProductLabels
from w2sweep.experiment.losses.reverse import (
    ConfidenceAdaptive,
    ReverseCrossEntropy,
    ReverseKL,
    SymmetricCrossEntropy,
)
from w2sweep.experiment.losses.weighted import ConfidenceWeight, ConfidenceWindow

__all__ = [
    "AdaptConf",
    "BalancedLabels",
    "BufferedConfidence",
    "ConfidenceAdaptive",
    "ConfidenceLoss",
    "ConfidenceWeight",
    "ConfidenceWindow",
    "CrossEntropy",
    "EntropyLoss",
    "GeneralizedCrossEntropy",
    "LabelSmoothing",
    "Loss",
    "ProductLabels",
    "ReverseCrossEntropy",
    "ReverseKL",
    "SymmetricCrossEntropy",
]
