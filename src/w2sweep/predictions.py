"""What a finetuned model says of each split: stored whole, so that any metric is a function of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from w2sweep.tasks import Example


@dataclass(frozen=True)
class Predictions:
    """By split, in the order of its examples: class probabilities [N, K], or greedy completions [N]."""

    answers: Mapping[str, NDArray[np.float32] | list[str]]

    def hard(self, split: str) -> NDArray[np.int64] | NDArray[np.str_]:
        """The most likely class [N], or the completion [N] without surrounding blanks."""
        answers = self.answers[split]
        return np.array([a.strip() for a in answers]) if isinstance(answers, list) else answers.argmax(-1)

    def correct(self, split: str, examples: Sequence[Example]) -> NDArray[np.bool_]:  # [N]
        """Where the answer is the ground truth."""
        truth = [e.label.strip() if isinstance(e.label, str) else e.label for e in examples]
        return self.hard(split) == np.array(truth)

    def agrees(self, other: Predictions, split: str) -> NDArray[np.bool_]:  # [N]
        """Where two models answer the same."""
        return self.hard(split) == other.hard(split)

    def save(self, path: Path) -> None:
        from safetensors.numpy import save_file

        arrays = {k: np.ascontiguousarray(v) for k, v in self.answers.items() if not isinstance(v, list)}
        texts = {k: v for k, v in self.answers.items() if isinstance(v, list)}
        save_file(arrays, path / "predictions.safetensors")
        (path / "completions.json").write_text(json.dumps(texts, ensure_ascii=False), encoding="utf-8")

    @staticmethod
    def load(path: Path) -> Predictions:
        from safetensors.numpy import load_file

        texts = json.loads((path / "completions.json").read_text(encoding="utf-8"))
        return Predictions({**load_file(path / "predictions.safetensors"), **texts})
