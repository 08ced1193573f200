"""Several supervisors of one student, whose weights are learned while it is."""

from __future__ import annotations

from dataclasses import dataclass

from w2sweep.experiment.kinds import Labels


@dataclass(frozen=True)
class Weighing:
    """M supervisors, and how the weights w of their labels are learned with the student.

    The labels of a batch are q = sum_m w_m q_m, with w on the simplex. They begin with equal
    weights; after each batch w makes a step down the gradient of the student's own loss, is kept
    above zero, and is divided by its sum.
    """

    supervisors: tuple[Labels, ...]
    lr: float
    """Size of a step of w."""
    agreed: float
    """The share of the steps, from the first on, in which examples count on which all supervisors
    say the same class. Weights begin to move behind it."""
