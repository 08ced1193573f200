"""Best-of-n: of n replies the one that a reward model likes best. How good is it in truth?

The more there are to choose from, the harder the reward model is optimized. Gao et al. 2022, arXiv
2210.10760.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from w2sweep.engine.files import read_json
from w2sweep.engine.stage import Job, Stage
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.splits import Splits
from w2sweep.experiment.stages import Adapt
from w2sweep.experiment.weights import Afterwards
from w2sweep.tasks.heads import Reward
from w2sweep.tasks.replying import Replying
from w2sweep.values import ConfigError, Count, Impossible, Rate, value


@value
class BestOf:
    """Replies that the reward models of a cell choose from: its supervisor, student and ceiling."""

    writer: str | None = None
    """The rung that writes the replies, as it was pretrained: what it makes up may be unlike all
    that reward models were trained on. None: they are drawn as those of the task's pairs are, with
    the words of the test split."""
    temperature: Rate = 1.0
    """Of the rung that writes. The higher, the odder the replies."""
    questions: Count = 32
    """How many there are. Intervals are over them."""
    replies: Annotated[int, Field(ge=2)] = 1024
    """To each question. All sets of n of them stand behind the numbers of n."""
    largest: Annotated[int, Field(ge=2)] = 256
    """The most that are chosen from: n is 1, 2, 4, ... up to it."""

    def __post_init__(self) -> None:
        if self.largest > self.replies:
            raise ConfigError(
                f"largest: found {self.largest:,}, but of {self.replies:,} replies no more can be "
                "chosen from: raise best_of.replies, or lower best_of.largest"
            )

    @property
    def numbers(self) -> list[int]:
        """The n at which it is told how good the chosen replies are."""
        return [2**k for k in range(self.largest.bit_length())]

    @property
    def written_by(self) -> str:
        """Who writes the replies, in words."""
        if self.writer is None:
            return "the task"
        hot = f" at temperature {self.temperature:g}" if self.temperature != 1 else ""
        return f"{self.writer}{hot}"

    def candidates(self, s: Setting) -> Candidates:
        """The replies. Raises Impossible where the task's models are no reward models, or nobody
        knows how good its replies are; ConfigError where the writer is no rung that can write."""
        if not isinstance(s.task.head, Reward) or not isinstance(s.task, Replying):
            raise Impossible(
                "best_of needs reward models, and a task that knows how good any reply is, but "
                f"task {s.task.name} is not such a one: use task=preference, or best_of=null"
            )
        writer = None if self.writer is None else self._writer(s, self.writer)
        temperature = 1.0 if writer is None else self.temperature
        counts = (self.questions, self.replies)
        return Candidates(s.splits, writer, temperature, *counts, s.seed)

    def _writer(self, s: Setting, rung: str) -> Adapt:
        try:
            found = s.pretrained(rung)
        except ConfigError as error:
            raise ConfigError(f"best_of.writer: {error}") from error
        if found is None:
            raise ConfigError(
                f"best_of.writer: found {rung}, which has not read the texts of task "
                f"{s.task.name}: name a rung that is pretrained here, or null"
            )
        return found


@dataclass(frozen=True)
class Replied:
    """P questions with N replies to each."""

    questions: list[str]
    """[P], each as far as where a reply begins."""
    replies: list[list[str]]
    """[P, N]"""
    marks: NDArray[np.bool_]
    """Whether each reply is good in each of R respects [P, N, R]."""
    weights: NDArray[np.float64]
    """How much each respect counts [R]."""

    @property
    def quality(self) -> NDArray[np.float64]:
        """How good each reply is in truth [P, N]."""
        return (2.0 * self.marks - 1.0) @ self.weights


@dataclass(frozen=True)
class Candidates(Stage[Replied]):
    """Replies to questions, and how good they are in truth."""

    splits: Splits
    """Of a task that is `Replying`."""
    writer: Adapt | None
    """The language model that writes; None: the task."""
    temperature: float
    questions: int
    replies: int
    """To each question."""
    seed: int

    @property
    def task(self) -> Replying:
        """The task that judges."""
        return cast("Replying", self.splits.task)

    @property
    def what(self) -> str:
        by = f" by {self.writer.backbone.label}" if self.writer else ""
        return f"replies{by} to judge, {self.splits.task.name}"

    @property
    def size(self) -> int:
        return self.writer.size if self.writer else 0

    def run(self, job: Job) -> None:
        """Writes `replies.json` and `marks.safetensors`."""
        from w2sweep.learning.best_of import candidates

        candidates(self, job)

    def read(self, path: Path) -> Replied:
        from safetensors.numpy import load_file

        said = read_json(path / "replies.json")
        marks = load_file(path / "marks.safetensors")["marks"].astype(bool)
        weights = np.array(list(self.task.respects.values()))
        return Replied(said["questions"], said["replies"], marks, weights)


@dataclass(frozen=True)
class Scored(Afterwards[NDArray[np.float32]]):
    """What a reward model says of replies."""

    candidates: Candidates

    @property
    def what(self) -> str:
        return f"{self.of.of.what}, scores of {self.candidates.what}"

    def run(self, job: Job) -> None:
        """Writes `scores.safetensors`."""
        from w2sweep.learning.best_of import scores

        scores(self, job)

    def read(self, path: Path) -> NDArray[np.float32]:
        """The model's logit of each reply to each question [P, N]: only differences between replies
        to one question mean something."""
        from safetensors.numpy import load_file

        return load_file(path / "scores.safetensors")["scores"]
