"""What a model says of each split, stored whole, so that any metric is a function of it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from w2sweep.tasks.heads import Answers

EVALUATIONS = ("evaluations.safetensors", "evaluations.json")
"""The files of what was answered at evaluations."""


class Later(Mapping[str, Answers]):
    """Answers by split, of which some are found when somebody asks for them.

    Args:
        there: those that are known.
        later: by split, what finds the others.
    """

    def __init__(self, there: Mapping[str, Answers], later: Mapping[str, Callable[[], Answers]]):
        self._there, self._later = dict(there), later

    def __getitem__(self, split: str) -> Answers:
        if split not in self._there and split in self._later:
            self._there[split] = self._later[split]()
        return self._there[split]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._later, **self._there})

    def __len__(self) -> int:
        return len({**self._later, **self._there})


@dataclass(frozen=True)
class Predictions:
    """By split, in the order of its examples: class probabilities [N, K], or completions [N].

    What they mean (which class, whether it is right) is the head's to say.
    """

    answers: Mapping[str, Answers]
    evaluations: Mapping[int, Predictions] = field(default_factory=dict)
    """Of a model that was trained for it: what it said of `validation` and `test` at each
    evaluation, by optimizer step in ascending order."""

    def save(self, path: Path) -> None:
        """Writes `predictions.safetensors` and `completions.json` into the folder `path`."""
        _save(self.answers, path, "predictions.safetensors", "completions.json")

    @staticmethod
    def load(path: Path) -> Predictions:
        """What `save` wrote."""
        return Predictions(_load(path, "predictions.safetensors", "completions.json"))


def save_evaluations(evaluations: Mapping[int, Mapping[str, Answers]], path: Path) -> None:
    """Writes the answers at each evaluation, by optimizer step and split, into a folder:
    `evaluations.safetensors` and `evaluations.json`."""
    flat = {f"{step}/{name}": a for step, its in evaluations.items() for name, a in its.items()}
    _save(flat, path, *EVALUATIONS)


def load_evaluations(path: Path) -> dict[int, Predictions]:
    """What `save_evaluations` wrote, by optimizer step; nothing where it wrote nothing."""
    if not (path / EVALUATIONS[1]).exists():
        return {}
    found: dict[int, dict[str, Answers]] = defaultdict(dict)
    for key, answers in _load(path, *EVALUATIONS).items():
        step, _, name = key.partition("/")
        found[int(step)][name] = answers
    return {step: Predictions(found[step]) for step in sorted(found)}


def _save(answers: Mapping[str, Answers], path: Path, arrays: str, texts: str) -> None:
    from safetensors.numpy import save_file

    numeric = {k: np.ascontiguousarray(v) for k, v in answers.items() if not isinstance(v, list)}
    written = {k: v for k, v in answers.items() if isinstance(v, list)}
    save_file(numeric, path / arrays)
    (path / texts).write_text(json.dumps(written, ensure_ascii=False), encoding="utf-8")


def _load(path: Path, arrays: str, texts: str) -> dict[str, Answers]:
    from safetensors.numpy import load_file

    written = json.loads((path / texts).read_text(encoding="utf-8"))
    return {**load_file(path / arrays), **written}
