"""One experimental setting: a weak supervisor, a strong student, and the strong ceiling they are measured by."""

from __future__ import annotations

from typing import Literal

from w2sweep.ladder import Backbone, Homegrown, Ladder
from w2sweep.losses import CrossEntropy, Loss
from w2sweep.methods import Method
from w2sweep.recipe import Recipe
from w2sweep.stages import Finetune, Labels, Pretrain, Sizes, Splits, Text
from w2sweep.supervision import Supervision, Weak
from w2sweep.tasks import Completion, Task
from w2sweep.tuning import LinearProbe, Tuning
from w2sweep.values import Impossible, value

Half = Literal["supervisor", "student"]


@value
class Setting:
    """All that the student's stage depends on, but for the method."""

    task: Task
    ladder: Ladder
    weak: str
    strong: str
    sizes: Sizes
    tuning: Tuning
    recipe: Recipe
    seed: int
    ceiling_on: Half = "student"
    """The half the ceiling trains on: the student's (same data, other labels) or the supervisor's."""
    supervision: Supervision = Weak()

    @property
    def comparable(self) -> bool:
        """Whether the supervisor is weaker than the student: elsewhere on the grid there is nothing to run."""
        return self.ladder.position(self.weak) < self.ladder.position(self.strong)

    @property
    def splits(self) -> Splits:
        return Splits(self.task, self.sizes, self.seed)

    @property
    def weak_model(self) -> Finetune:
        """The weak rung, finetuned on the ground truth."""
        return self.finetune(self.ladder.rungs[self.weak], on="supervisor")

    @property
    def supervisor(self) -> Labels:
        """What labels the student's examples. Raises Impossible where that cannot be done for the task."""
        return self.supervision.labels(self)

    @property
    def ceiling(self) -> Finetune:
        return self.finetune(self.ladder.rungs[self.strong], on=self.ceiling_on)

    def finetune(
        self, backbone: Backbone, *, on: str, labels: Labels | None = None, loss: Loss | None = None
    ) -> Finetune:
        """`backbone` finetuned on a split, with the ground truth or with the predictions of another stage."""
        return Finetune(
            backbone, self.init(backbone), self.splits, on, labels, self.tuning, loss or CrossEntropy(), self.recipe,
            self.seed,
        )  # fmt: skip

    def init(self, backbone: Backbone) -> Pretrain | None:
        """Where the weights of a homegrown rung come from."""
        if not isinstance(backbone, Homegrown) or self.ladder.tokenizer is None:
            return None
        text = Text(self.ladder.reads(self.task.corpus), self.ladder.tokenizer)
        return Pretrain(backbone, text, self.ladder.pretrain_seed)


@value
class Cell:
    """One point of a sweep's grid: a setting and a method."""

    setting: Setting
    method: Method

    def __post_init__(self) -> None:
        s = self.setting
        for rung in (s.weak, s.strong):
            s.ladder.position(rung)
        _ = self.student  # the method may have something to say about the setting
        if isinstance(s.task.head, Completion):
            generates = f"but task {s.task.name} generates completions"
            if isinstance(s.tuning, LinearProbe):
                raise Impossible(f"a linear probe chooses between classes, {generates}: use tuning=full or lora")
            if self.method.loss.binary:
                loss = type(self.method.loss).__name__
                raise Impossible(f"{loss} needs two classes, {generates}: use method=naive or bootstrap")

    @property
    def student(self) -> Finetune:
        return self.method.student(self.setting)
