"""Test examples of a cell, written down to be looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["corrected", "spoiled"]
"""`corrected`: the student is right where its supervisor is wrong; `spoiled`: the reverse."""


@dataclass(frozen=True)
class Shown:
    """One test example on which student and supervisor differ in being right."""

    kind: Kind
    number: int
    """Its place in the test split."""
    texts: Sequence[str]
    """What is asked: one text, or two that are compared. Long ones are cut in the middle."""
    truth: str
    answers: Mapping[str, str]
    """Role -> the answer that is given."""
    probabilities: Mapping[str, float]
    """Role -> the probability of that answer; empty where answers are completions."""
