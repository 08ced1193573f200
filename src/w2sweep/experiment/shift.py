"""A student's half that is unlike the test: what methods have to bear outside of benchmarks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from w2sweep.tasks.conditions import KnowsWords, Unanswerable
from w2sweep.tasks.heads import Reward
from w2sweep.tasks.task import Task
from w2sweep.values import Impossible, value

Words = Literal["all", "frequent", "rare"]
STUDENT, TEST = "student", "test"


@value
class Shift:
    """How the student's half differs from the examples that models are tested on.

    The half has as many examples as it has without, and all other splits have the very same ones;
    of the test split that holds unless `test_words` says otherwise. The ceiling trains on the
    student's half too, with true labels.
    """

    class_1: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The share of class 1 in the student's half; None: classes are in balance, or nearly."""
    without_answer: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The share of the student's half that are texts without a right answer. The supervisor labels
    them as it labels any text; the ceiling, as a person would who has to say something, by chance:
    it has the labels of the examples in whose place they are, in random order."""
    student_words: Words = "all"
    """Which words the student's half asks about: the more frequent half of them, or the rarer."""
    test_words: Words = "all"
    """Which words the test split asks about. Compare settings that are equal in this: rare words
    are harder for everybody."""

    def words(self, split: str) -> Words:
        """Which words a split asks about."""
        if split == TEST:
            return self.test_words
        return self.student_words if _is_students(split) else "all"

    def touches(self, split: str) -> bool:
        """Whether a split has other examples than it has without."""
        changed = self.class_1 is not None or self.without_answer > 0
        return self.words(split) != "all" or (changed and _is_students(split))

    def check(self, task: Task) -> None:
        """Raises Impossible where a task's examples cannot be so."""
        if self.class_1 is not None:
            _check_classes(task)
        if self.without_answer and not isinstance(task, Unanswerable):
            raise Impossible(
                f"shift.without_answer: nobody knows texts without an answer of task {task.name}: "
                "use a text task of the lab, or shift.without_answer=0"
            )
        shifted = (self.student_words, self.test_words) != ("all", "all")
        if shifted and not isinstance(task, KnowsWords):
            raise Impossible(
                f"shift.student_words, shift.test_words: nobody knows how frequent the words of "
                f"task {task.name} are: use a text task of the lab, or all"
            )


def _check_classes(task: Task) -> None:
    """Raises Impossible where examples are not of two classes that may be out of balance."""
    if isinstance(task.head, Reward):
        raise Impossible(
            f"shift.class_1: the classes of task {task.name} are which of two texts stands first, "
            "and say nothing of them: use a task of single texts"
        )
    if task.head.classes != 2:
        found = "completions" if task.head.classes is None else f"{task.head.classes} classes"
        raise Impossible(
            f"shift.class_1 is a share of two classes, but task {task.name} has {found}: use a "
            "task of two classes"
        )


def _is_students(split: str) -> bool:
    return split.split("_")[0] == STUDENT
