"""Prompting: a student that is never trained, but asked. Burns et al. 2023, section 5.2.1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from w2sweep.engine.stage import Job
from w2sweep.experiment.backbone import Backbone
from w2sweep.experiment.kinds import Labels, Model
from w2sweep.experiment.losses import Loss
from w2sweep.experiment.methods import Method
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.splits import Splits
from w2sweep.experiment.tuning import Base
from w2sweep.tasks.heads import Completion, Head, Reward
from w2sweep.tasks.wording import Wording
from w2sweep.values import ConfigError, Impossible, Natural, value

ZERO_SHOT = "zero_shot"
"""What tables call the method that shows nothing."""


@dataclass(frozen=True)
class Prompted(Labels):
    """What a language model says when it is asked, zero-shot or after a few demonstrations."""

    added: ClassVar[frozenset[str]] = frozenset({"base"})
    spreads: ClassVar = True

    backbone: Backbone
    init: Model | None
    """Where its weights come from; None: the hub."""
    splits: Splits
    on: str
    """The split that demonstrations are taken from."""
    wording: Wording | None
    """None: the example's text is the prompt, and the greedy completion the answer."""
    shots: int
    """How many demonstrations come before each example, the same ones before all."""
    shown: Labels | None
    """The stage whose hard answers the demonstrations bear; None: the ground truth."""
    calibrated: bool
    """Whether what it answers to no content is divided out. Zhao et al. 2021."""
    head: Head
    max_tokens: int
    """Longest prompt of an example by itself, in tokens."""
    seed: int
    """Decides the demonstrations and their order."""
    base: Base = "fp32"
    """What the backbone is kept in. Logits are in fp32 either way."""

    @property
    def label(self) -> str:
        """`small, 5-shot`."""
        return f"{self.backbone.label}, {f'{self.shots}-shot' if self.shots else 'zero-shot'}"

    @property
    def what(self) -> str:
        source = f" <- {self.shown.label}" if self.shown else ""
        return f"prompted {self.label}{source}, {self.splits.task.name}"

    @property
    def size(self) -> int:
        return self.backbone.parameters

    @property
    def tags(self) -> list[str]:
        return [self.backbone.label]

    def run(self, job: Job) -> None:
        """Writes the predictions, and notes how many demonstrations had room (`shots`)."""
        from w2sweep.learning.prompting import prompted

        prompted(self, job)


@value
class Prompting(Method):
    """The strong model as it was pretrained, asked with the task's wording. It trains nothing, so
    the loss is of no account."""

    name: str
    loss: Loss
    shots: Natural
    shows: Literal["truth", "weak"]
    """Whose labels demonstrations bear: the supervisor's, or the ground truth, which a student has
    no access to: an oracle."""
    calibrated: bool = False
    base: Base = "fp32"
    """What the strong model is kept in."""

    def __post_init__(self) -> None:
        if self.shots and self.name == ZERO_SHOT:
            raise ConfigError(
                f"shots: found {self.shots}, expected 0 of a method that is called {ZERO_SHOT}: "
                "use method=few_shot_weak or method=few_shot_truth, or give it another name"
            )

    def student(self, s: Setting) -> Prompted:
        self._check(s)
        head = s.task.head
        name, rung = s.rung(s.strong)
        weak = self.shots > 0 and self.shows == "weak"
        return Prompted(
            backbone=rung.backbone(name),
            init=s.pretrained(s.strong),
            splits=s.splits,
            on="student",
            wording=None if isinstance(head, Completion) else s.task.asked,
            shots=self.shots,
            shown=s.supervisor if weak else None,
            calibrated=self.calibrated,
            head=head,
            max_tokens=s.recipe.max_tokens,
            seed=s.seed,
            base=self.base,
        )

    def true_labels(self, s: Setting) -> int:
        return self.shots if self.shows == "truth" else 0

    def _check(self, s: Setting) -> None:
        """Raises Impossible or ConfigError where the task cannot be asked in this way."""
        wording, head = s.task.asked, s.task.head
        if isinstance(head, Completion):
            self._check_completes(s)
        elif wording is None:
            raise Impossible(
                f"task {s.task.name} does not say how a language model is asked: set task.wording"
            )
        else:
            _check_fits(wording, head)
        if self.shots > s.sizes.student:
            raise ConfigError(
                f"method.shots: found {self.shots}, but there are {s.sizes.student} examples to "
                "show (sizes.student): lower method.shots"
            )

    def _check_completes(self, s: Setting) -> None:
        if self.shots or self.calibrated:
            what = "demonstrations are shown" if self.shots else "answers are calibrated"
            raise Impossible(
                f"{what} where classes are asked for, but task {s.task.name} generates "
                "completions: use method=zero_shot method.calibrated=false"
            )


def _check_fits(wording: Wording, head: Head) -> None:
    """Raises ConfigError where the wording asks for something else than the head answers."""
    pairs = isinstance(head, Reward)
    if wording.compares and not pairs:
        raise ConfigError(
            "task.wording.template: found {first} and {second}, but examples have one text: use "
            "{text}"
        )
    if len(wording.words) != head.classes:
        raise ConfigError(
            f"task.wording.words: found {len(wording.words)}, expected one for each of the "
            f"{head.classes} classes"
        )
