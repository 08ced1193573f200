"""Kinds of stages, by what others read of them: a model, predictions to learn from, or which rows
of a split to learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from w2sweep.engine.stage import Stage
from w2sweep.experiment.predictions import Predictions


class Model(Stage[Path]):
    """A stage whose result is a model folder as `save_pretrained` writes it, with its tokenizer."""

    def read(self, path: Path) -> Path:
        """The folder."""
        return path


class Labels(Stage[Predictions]):
    """Predictions of all splits that are `answered`: what a student can learn from."""

    @property
    def label(self) -> str:
        """What predicts, in a few letters: in the names of its students."""
        raise NotImplementedError

    def read(self, path: Path) -> Predictions:
        return Predictions.load(path)


class Rows(Stage[NDArray[np.int64]]):
    """Which examples of a split a model trains on, where not on all: row numbers, ascending [n]."""

    @property
    def label(self) -> str:
        """Which ones, in a word: in the names of models that train on them."""
        raise NotImplementedError

    @property
    def part(self) -> float:
        """The share of the split that it is at most: of its order are the costs of training."""
        return 1.0

    def read(self, path: Path) -> NDArray[np.int64]:
        return np.load(path / "rows.npy")
