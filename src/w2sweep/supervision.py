"""Supervision: who labels the student's examples. The weak rung, with noise if asked for, or the ground truth with
errors of a known kind: how far a student recovers depends on whether it can learn its supervisor's errors."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from w2sweep.predictions import Predictions
from w2sweep.stages import Finetune, Labels, Splits, answered
from w2sweep.tasks import Completion, Example, digest, normalized
from w2sweep.values import ConfigError, Fraction, Impossible, value

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from w2sweep.setting import Setting
    from w2sweep.store import Store

Errors = Literal["random", "words", "rule"]


class Supervision(ABC):
    """A value (a frozen dataclass): one class here and one file in conf/supervision."""

    @abstractmethod
    def labels(self, s: Setting) -> Labels:
        """The stage that labels. Raises Impossible where it cannot, for the setting's task."""


@value
class Weak(Supervision):
    """The weak rung, finetuned on its own half of the ground truth. Burns et al. 2023, section 3."""

    noise: Fraction = 0.0
    """The share of its answers, in each split, that are turned into the other class at random."""

    def labels(self, s: Setting) -> Labels:
        if not self.noise:
            return s.weak_model
        _check_two_classes(s, "noise")
        return Erring(s.splits, s.weak_model, "random", self.noise, None, s.seed)


@value
class Simulated(Supervision):
    """The ground truth with as many errors in each split as asked for, of a kind. Burns et al. 2023, appendix E.2."""

    errors: Errors
    """`random`: each example by itself. `words`: all examples that end in the same word together; where the splits
    share no words, as in the lab, nothing can be learned from that. `rule`: where `cue` is found, class 1 is said of as
    many examples of class 0 as the rate asks for: a spurious cue that a student can learn."""
    rate: Fraction | None
    """The share of wrong answers; None: the weak rung's own, in each split."""
    cue: str | None = None
    """A regular expression, looked for in the text; of two texts, the one that has it is said to be the better."""

    def __post_init__(self) -> None:
        if self.errors == "rule" and self.cue is None:
            raise ConfigError("errors=rule needs a cue, such as cue='^it is'")
        try:
            re.compile(self.cue or "")
        except re.error as error:
            raise ConfigError(f"cue: found '{self.cue}', expected a regular expression ({error})") from error

    def labels(self, s: Setting) -> Labels:
        _check_two_classes(s, "simulated supervision")
        rate = s.weak_model if self.rate is None else self.rate
        return Erring(s.splits, None, self.errors, rate, self.cue if self.errors == "rule" else None, s.seed)


def _check_two_classes(s: Setting, what: str) -> None:
    head = s.task.head
    found = "completions" if isinstance(head, Completion) else f"{getattr(head, 'classes', 2)} classes"
    if found != "2 classes":
        raise Impossible(f"{what} errs by saying the other of two classes, but task {s.task.name} has {found}")


@dataclass(frozen=True)
class Erring(Labels):
    """Answers of which an exact number is turned into the other of two classes."""

    splits: Splits
    base: Finetune | None
    """Whose answers they are; None: the ground truth."""
    errors: Errors
    rate: float | Finetune
    """The share that is turned; a stage: as many as it has wrong itself."""
    cue: str | None
    seed: int

    @property
    def label(self) -> str:
        rate = f"as many as {self.rate.label}" if isinstance(self.rate, Finetune) else f"{self.rate:g}"
        return f"{self.base.label} with noise {rate}" if self.base else f"truth with {self.errors} errors ({rate})"

    @property
    def what(self) -> str:
        return f"supervisor {self.label}, {self.splits.task.name}"

    def run(self, out: Path, store: Store) -> None:
        splits = store.get(self.splits)
        base = store.get(self.base).answers if self.base else {n: one_hot(splits[n]) for n in answered(splits)}
        answers = {}
        for name, said in base.items():
            n = self._asked(name, splits[name], store)
            turned = mistaken(list(map(self._key, splits[name])), n, self.seed)
            self._check(name, len(turned), n, int(turned.sum()))
            answers[name] = np.where(turned[:, None], np.asarray(said)[:, ::-1], said)
        Predictions(answers).save(out)

    def _asked(self, name: str, examples: Sequence[Example], store: Store) -> int:
        if isinstance(self.rate, Finetune):
            return int((~store.get(self.rate).correct(name, examples)).sum())
        return round(self.rate * len(examples))

    def _key(self, e: Example) -> str | None:
        """Examples with the same key are wrong together, those with none never."""
        if self.errors == "words":
            return last_word(e)
        if self.errors == "rule":
            return e.id if suggested(self.cue or "", e.views) == 1 - int(e.label) else None
        return e.id

    def _check(self, split: str, n: int, asked: int, found: int) -> None:
        """Raises ConfigError where the rate was not met, up to a percent where words come whole."""
        if asked - found > (n // 100 if self.errors == "words" else 0):
            raise ConfigError(
                f"errors={self.errors} can make {found} of the {n} examples of split '{split}' wrong, but the rate "
                f"asks for {asked}: lower supervision.rate" + (", or another cue" if self.errors == "rule" else "")
            )


def mistaken(keys: Sequence[str | None], n: int, seed: int) -> NDArray[np.bool_]:  # [N]
    """Which examples are wrong: `n`, or as many as whole keys make up. Keys come in an order that depends on them and
    the seed alone, so that at a higher rate the same examples are wrong, and more."""
    sizes, left, drawn = Counter(k for k in keys if k is not None), n, set()
    for key in sorted(sizes, key=lambda k: digest(f"{seed} {k}")):
        if sizes[key] <= left:
            drawn.add(key)
            left -= sizes[key]
    return np.array([k in drawn for k in keys])


def last_word(e: Example) -> str:
    """The word that the text ends with; of two texts, the better one."""
    return normalized(e.views[int(e.label) % len(e.views)]).split()[-1]


def suggested(cue: str, views: Sequence[str]) -> int | None:
    """The class that a cue speaks for: 1 where it is found; of two texts, the only one that has it."""
    found = [view for view, text in enumerate(views) if re.search(cue, text)]
    return None if len(found) != 1 else 1 if len(views) == 1 else found[0]


def one_hot(examples: Iterable[Example]) -> NDArray[np.float32]:  # [N, 2]
    """The ground truth."""
    return np.eye(2, dtype=np.float32)[[int(e.label) for e in examples]]
