"""Supervision: who labels the student's examples.

The weak rung, with noise if asked for, or the ground truth with errors of a known kind: how far a
student recovers depends on whether it can learn its supervisor's errors.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from w2sweep.engine.stage import Job
from w2sweep.experiment.kinds import Labels
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.setting import Setting, Supervision
from w2sweep.experiment.splits import Splits, answered
from w2sweep.experiment.stages import Finetune
from w2sweep.tasks.example import Example, digest, normalized
from w2sweep.tasks.heads import Answers, Head
from w2sweep.values import ConfigError, Fraction, Impossible, value

Errors = Literal["random", "words", "rule", "longest", "shortest", "unconfident", "confident"]
JUDGED = ("unconfident", "confident")
"""Errors that a strong model's answers decide on."""
RANKED = ("longest", "shortest", *JUDGED)
"""Errors on the first examples in some order."""


@value
class Weak(Supervision):
    """The weak rung, finetuned on its own half of the ground truth. Burns et al. 2023, section
    3."""

    noise: Fraction = 0.0
    """The share of its answers, in each split, that are turned into the other class at random."""

    def labels(self, s: Setting) -> Labels:
        if not self.noise:
            return s.weak_model
        _check_two_classes(s, "noise")
        return Erring(s.splits, s.task.head, s.weak_model, "random", self.noise, None, s.seed)


@value
class Simulated(Supervision):
    """The ground truth with as many errors in each split as asked for, of one kind.

    Burns et al. 2023, appendix E.2.
    """

    errors: Errors
    """`random`: each example by itself. `words`: all examples that end in the same word together;
    where the splits share no words, as in the lab, nothing can be learned from that. `rule`: where
    `cue` is found, class 1 is said of as many examples of class 0 as the rate asks for: a spurious
    cue that a student can learn. `longest`, `shortest`: the texts of most and of fewest
    characters. `unconfident`, `confident`: where the strong rung, finetuned on the truth of the
    supervisor's half, is least confident; and where it is right with the most confidence."""
    rate: Fraction | None
    """The share of wrong answers; None: the weak rung's own, in each split."""
    cue: str | None = None
    """A regular expression that is looked for in the text; of two texts, the one that has it is
    said to be the better."""

    def __post_init__(self) -> None:
        if self.errors == "rule" and self.cue is None:
            raise ConfigError("errors=rule needs a cue, such as cue='^it is'")
        try:
            re.compile(self.cue or "")
        except re.error as error:
            raise ConfigError(
                f"cue: found '{self.cue}', expected a regular expression ({error})"
            ) from error

    def labels(self, s: Setting) -> Labels:
        _check_two_classes(s, "simulated supervision")
        rate = s.weak_model if self.rate is None else self.rate
        cue = self.cue if self.errors == "rule" else None
        judge = s.finetune(s.strong, on="supervisor") if self.errors in JUDGED else None
        return Erring(s.splits, s.task.head, None, self.errors, rate, cue, s.seed, judge)


def _check_two_classes(s: Setting, what: str) -> None:
    classes = s.task.head.classes
    if classes != 2:
        found = "completions" if classes is None else f"{classes} classes"
        raise Impossible(
            f"{what} errs by saying the other of two classes, but task {s.task.name} has {found}"
        )


@dataclass(frozen=True)
class Erring(Labels):
    """Answers of which an exact number is turned into the other of two classes."""

    added: ClassVar[frozenset[str]] = frozenset({"judge"})

    splits: Splits
    head: Head
    base: Finetune | None
    """Whose answers they are; None: the ground truth."""
    errors: Errors
    rate: float | Finetune
    """The share that is turned; a stage: as many as it has wrong itself."""
    cue: str | None
    seed: int
    judge: Finetune | None = None
    """The model that decides which answers are turned. It has not trained on the examples."""

    @property
    def label(self) -> str:
        if isinstance(self.rate, Finetune):
            rate = f"as many as {self.rate.label}"
        else:
            rate = f"{self.rate:g}"
        if self.base:
            return f"{self.base.label} with noise {rate}"
        return f"truth with {self.errors} errors ({rate})"

    @property
    def what(self) -> str:
        return f"supervisor {self.label}, {self.splits.task.name}"

    def run(self, job: Job) -> None:
        """Writes the answers, [N, 2] of each split."""
        splits = job.get(self.splits)
        said = job.get(self.base) if self.base else self._truth(splits)
        own = job.get(self.rate) if isinstance(self.rate, Finetune) else None
        judged = job.get(self.judge) if self.judge else None
        answers: dict[str, Answers] = {}
        for name, given in said.answers.items():
            asked = self._asked(splits[name], None if own is None else own.answers[name])
            said_by_judge = None if judged is None else judged.answers[name]
            turned = self._turned(name, splits[name], asked, said_by_judge)
            answers[name] = np.where(turned[:, None], np.asarray(given)[:, ::-1], given)
        Predictions(answers).save(job.out)

    def _truth(self, splits: dict[str, list[Example]]) -> Predictions:
        return Predictions({name: self.head.labels(splits[name]) for name in answered(splits)})

    def _asked(self, examples: Sequence[Example], own: Answers | None) -> int:
        """How many answers are to be wrong: as many as those of the model that sets the rate, or
        the share that is asked for."""
        if own is not None:
            return int((~self.head.correct(own, examples)).sum())
        assert isinstance(self.rate, float)
        return round(self.rate * len(examples))

    def _turned(
        self, split: str, examples: Sequence[Example], asked: int, judged: Answers | None
    ) -> NDArray[np.bool_]:
        """Which answers of a split are turned [N].

        Raises ConfigError where there are fewer than asked for; up to a percent of the examples may
        be missing where words come whole.
        """
        if self.errors in RANKED:
            ids = [e.id for e in examples]
            return lowest(self._scores(examples, judged), ids, asked, self.seed)
        turned = mistaken([self._key(e) for e in examples], asked, self.seed)
        missing, n = asked - int(turned.sum()), len(examples)
        if missing > (n // 100 if self.errors == "words" else 0):
            advice = ", or another cue" if self.errors == "rule" else ""
            raise ConfigError(
                f"errors={self.errors} can make {asked - missing} of the {n} examples of split "
                f"'{split}' wrong, but the rate asks for {asked}: lower supervision.rate{advice}"
            )
        return turned

    def _scores(self, examples: Sequence[Example], judged: Answers | None) -> NDArray[np.float64]:
        """What each of N examples is ranked by [N]: those with the lowest scores are wrong."""
        if judged is None:
            chars = np.array([sum(map(len, e.views)) for e in examples], dtype=np.float64)
            return -chars if self.errors == "longest" else chars
        said = np.asarray(judged, dtype=np.float64)
        if self.errors == "unconfident":
            return said.max(1)
        right = [int(e.label) for e in examples]
        return -said[np.arange(len(said)), right]

    def _key(self, e: Example) -> str | None:
        """Examples with the same key are wrong together, those with none never."""
        if self.errors == "words":
            return last_word(e)
        if self.errors == "rule":
            return e.id if suggested(self.cue or "", e.views) == 1 - int(e.label) else None
        return e.id


def mistaken(keys: Sequence[str | None], n: int, seed: int) -> NDArray[np.bool_]:
    """Which of N examples with these keys are wrong [N]: `n`, or as many as whole keys make up.

    Keys come in an order that depends on them and the seed alone, so that at a higher rate the same
    examples are wrong, and more.
    """
    sizes = Counter(key for key in keys if key is not None)
    drawn, left = set(), n
    for key in sorted(sizes, key=lambda key: digest(f"{seed} {key}")):
        if sizes[key] <= left:
            drawn.add(key)
            left -= sizes[key]
    return np.array([key in drawn for key in keys])


def lowest(scores: NDArray[np.float64], ids: Sequence[str], n: int, seed: int) -> NDArray[np.bool_]:
    """Which of N examples have the `n` lowest scores [N]. Ties are broken by ids and seed, so that
    of a larger number the smaller is a part."""
    ties = [digest(f"{seed} {id}") for id in ids]
    order = sorted(range(len(ids)), key=lambda row: (scores[row], ties[row]))
    turned = np.zeros(len(ids), dtype=np.bool_)
    turned[order[:n]] = True
    return turned


def last_word(e: Example) -> str:
    """The word that the text ends with; of two texts, the better one."""
    return normalized(e.views[int(e.label) % len(e.views)]).split()[-1]


def suggested(cue: str, views: Sequence[str]) -> int | None:
    """The class that a cue speaks for: 1 where a text has it; of two texts, the only one that
    has it. None: it speaks for no class."""
    found = [view for view, text in enumerate(views) if re.search(cue, text)]
    if len(found) != 1:
        return None
    return found[0] if len(views) > 1 else 1
