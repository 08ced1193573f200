"""How hard examples are, and the easy, random and hard ones of a split. Burns et al. 2023, appendix
C."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from w2sweep.engine.stage import Job, Stage
from w2sweep.experiment.kinds import Rows
from w2sweep.experiment.splits import Answered, Splits, answered
from w2sweep.experiment.stages import Finetune
from w2sweep.tasks.difficulty import Scale
from w2sweep.tasks.example import Example
from w2sweep.values import ConfigError

Kind = Literal["easy", "all", "hard"]
"""Which examples: the easiest, the hardest, or any, drawn at random."""


class Difficulty(Stage[dict[str, NDArray[np.float64]]]):
    """How hard each example of the splits that are answered is: the higher the harder, [N] each."""

    beyond: ClassVar[bool] = False
    """Whether the last bin is of examples that the largest rung is wrong about."""

    @property
    def measure(self) -> str:
        """What the numbers are."""
        raise NotImplementedError

    @property
    def bins(self) -> list[str]:
        """The names of the bins in which accuracies are told, the easiest first."""
        raise NotImplementedError

    def bin(self, difficulty: NDArray[np.float64]) -> NDArray[np.int64]:
        """The bin of each of N difficulties [N]."""
        raise NotImplementedError

    def read(self, path: Path) -> dict[str, NDArray[np.float64]]:
        """Split -> [N], in the order of its examples."""
        from safetensors.numpy import load_file

        return load_file(path / "difficulty.safetensors")


@dataclass(frozen=True)
class Known(Difficulty):
    """Difficulty as the task knows it."""

    splits: Splits

    @property
    def what(self) -> str:
        return f"difficulty of {self.splits.task.name}"

    @property
    def measure(self) -> str:
        return self._scale.name

    @property
    def bins(self) -> list[str]:
        return self._scale.bins

    def bin(self, difficulty: NDArray[np.float64]) -> NDArray[np.int64]:
        return self._scale.bin(difficulty)

    @property
    def _scale(self) -> Scale:
        scale = self.splits.task.difficulties
        assert scale is not None, "only made of tasks that have one"
        return scale

    def run(self, job: Job) -> None:
        """Writes `difficulty.safetensors`. Raises ConfigError where an example has none."""
        splits = job.get(self.splits)
        _write({name: self._of(splits[name]) for name in answered(splits)}, job.out)

    def _of(self, examples: Sequence[Example]) -> NDArray[np.float64]:
        task = self.splits.task
        known = [task.difficulty(e) for e in examples]
        if None in known:
            raise ConfigError(
                f"{known.count(None)} of {len(known)} examples of task {task.name} come without "
                f"their {self.measure}: take data that have it, or the ladder's judgement "
                "(method.difficulty=ladder)"
            )
        return np.array(known, dtype=float)


@dataclass(frozen=True)
class Levels(Difficulty):
    """Difficulty by a ladder: the smallest rung from which on all larger ones are right.

    The rungs are finetuned on the truth of the supervisor's half, so that none of them was trained
    on an example that it judges.
    """

    beyond: ClassVar[bool] = True

    rungs: tuple[Finetune, ...]
    """The weakest first."""

    def __post_init__(self) -> None:
        seen = [f.what for f in self.rungs if f.on != "supervisor" or f.labels is not None]
        if seen:
            raise ValueError(f"expected models of the supervisor's half, with its truth: {seen[0]}")

    @property
    def inputs(self) -> list[Stage]:
        return [*self.rungs, self.rungs[0].splits]

    @property
    def what(self) -> str:
        return f"difficulty by {len(self.rungs)} rungs, {self.rungs[0].splits.task.name}"

    @property
    def measure(self) -> str:
        return "smallest rung from which on all are right"

    @property
    def bins(self) -> list[str]:
        return [*(rung.label for rung in self.rungs), "none"]

    def bin(self, difficulty: NDArray[np.float64]) -> NDArray[np.int64]:
        return difficulty.astype(np.int64)

    def run(self, job: Job) -> None:
        """Writes `difficulty.safetensors`."""
        splits = job.get(self.splits)
        head, said = self.rungs[0].head, [job.get(rung).answers for rung in self.rungs]
        found = {}
        for name in answered(splits):
            correct = [head.correct(answers[name], splits[name]) for answers in said]
            found[name] = levels(correct)
        _write(found, job.out)

    @property
    def splits(self) -> Answered:
        """The examples, which all rungs share."""
        return self.rungs[0].splits


def levels(correct: ArrayLike) -> NDArray[np.float64]:
    """The index of the smallest rung from which on all rungs are right [N]; R where the largest is
    wrong.

    Args:
        correct: whether each of R rungs, the weakest first, is right about each example [R, N].
    """
    right = np.asarray(correct, dtype=bool)
    from_here_on = np.logical_and.accumulate(right[::-1])
    return len(right) - from_here_on.sum(0, dtype=float)


def _write(difficulty: Mapping[str, NDArray[np.float64]], folder: Path) -> None:
    from safetensors.numpy import save_file

    save_file(dict(difficulty), folder / "difficulty.safetensors")


@dataclass(frozen=True)
class Subset(Rows):
    """The easy, the hard, or any examples of a split: as many of each kind, and of each class the
    same share."""

    difficulty: Difficulty
    splits: Splits
    on: str
    kind: Kind
    share: float
    """Of the split. Smaller where cut-offs leave less."""
    easy_to: float | None
    """The highest difficulty of an easy example, of which it takes some at random; None: it takes
    the easiest ones."""
    hard_from: float | None
    """The lowest difficulty of a hard example, in the same way."""
    seed: int

    @property
    def label(self) -> str:
        return f"{self.kind} examples"

    @property
    def part(self) -> float:
        return self.share

    @property
    def what(self) -> str:
        return f"{self.kind} examples of {self.splits.task.name}"

    def run(self, job: Job) -> None:
        """Writes `rows.npy` [n]. Raises ConfigError where cut-offs leave nothing."""
        examples = job.get(self.splits)[self.on]
        difficulty = job.get(self.difficulty)[self.on]
        classes = [e.label if isinstance(e.label, int) else 0 for e in examples]
        sets = equal_sets(
            difficulty, classes, self.share, self.easy_to, self.hard_from, seed=self.seed
        )
        rows = sets[self.kind]
        if not len(rows):
            raise ConfigError(self._nothing_left(difficulty))
        job.note(examples=len(rows), of=len(examples))
        np.save(job.out / "rows.npy", rows)

    def _nothing_left(self, difficulty: NDArray[np.float64]) -> str:
        bounds = {"at most": self.easy_to, "at least": self.hard_from}
        asked = [f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None]
        cut = f" that are {' or '.join(asked)}" if asked else ""
        return (
            f"a share of {self.share:g} of the {len(difficulty)} examples of split '{self.on}'"
            f"{cut} is none of some kind: {self.difficulty.measure} goes from "
            f"{difficulty.min():g} to {difficulty.max():g}; change method.share, method.easy_to or "
            "method.hard_from"
        )


def equal_sets(
    difficulty: NDArray[np.float64],
    classes: Sequence[int],
    share: float,
    easy_to: float | None = None,
    hard_from: float | None = None,
    *,
    seed: int,
) -> dict[Kind, NDArray[np.int64]]:
    """The easy, random and hard ones of N examples, by row number, ascending.

    All three have as many examples of each class: `share` of them, or what cut-offs leave of each
    class. Ties are broken at random.

    Args:
        difficulty: the higher the harder [N].
        classes: whose balance is kept [N].
        share: of each class that is taken.
        easy_to: the highest difficulty of an easy example; None: the lowest ones are easy.
        hard_from: the lowest difficulty of a hard example; None: the highest ones are hard.
        seed: of ties, and of what is random.
    """
    order = np.random.default_rng((seed, 3)).permutation(len(difficulty))
    orders: dict[Kind, NDArray[np.int64]] = {
        "easy": _ordered(order, difficulty, easy_to),
        "all": order,
        "hard": _ordered(order, -difficulty, None if hard_from is None else -hard_from),
    }
    members = [np.flatnonzero(np.asarray(classes) == c) for c in sorted(set(classes))]
    queues: dict[Kind, list[NDArray[np.int64]]] = {}
    for kind, rows in orders.items():
        queues[kind] = _by_class(rows, members)
    fraction = min([share, *_shares(queues, members)])
    counts = [round(fraction * len(own)) for own in members]
    return {kind: _first(queue, counts) for kind, queue in queues.items()}


def _ordered(
    order: NDArray[np.int64], difficulty: NDArray[np.float64], limit: float | None
) -> NDArray[np.int64]:
    """The rows from easy to hard; or, where there is a limit, those up to it, in random order."""
    if limit is None:
        return order[np.argsort(difficulty[order], kind="stable")]
    return order[difficulty[order] <= limit]


def _by_class(
    rows: NDArray[np.int64], members: Sequence[NDArray[np.int64]]
) -> list[NDArray[np.int64]]:
    """The rows of each class, in the order in which they stand."""
    return [rows[np.isin(rows, own)] for own in members]


def _shares(
    queues: Mapping[Kind, Sequence[NDArray[np.int64]]], members: Sequence[NDArray[np.int64]]
) -> list[float]:
    """What share of each class each queue has."""
    sizes = [len(own) for own in members]
    return [len(rows) / n for q in queues.values() for rows, n in zip(q, sizes, strict=True)]


def _first(queue: Sequence[NDArray[np.int64]], counts: Sequence[int]) -> NDArray[np.int64]:
    """The first so many rows of each class, in ascending order."""
    return np.sort(np.concatenate([rows[:n] for rows, n in zip(queue, counts, strict=True)]))
