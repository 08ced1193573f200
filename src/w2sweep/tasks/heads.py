"""Heads: what turns the final hidden states of a language model into answers, and what is right.

A head is a value; the class of `w2sweep.learning.subjects` that learns and answers with it is named
by its `subject`. Classes are answered by probabilities [N, K], completions by texts [N].
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from w2sweep.tasks.example import Example
from w2sweep.values import ConfigError, Count, value

Answers = NDArray[np.float32] | list[str]
"""Class probabilities [N, K], or completions [N]."""


def chosen(answers: Answers, rows: NDArray[np.int64]) -> Answers:
    """Those of some examples, given by row number [n]."""
    if isinstance(answers, list):
        return [answers[row] for row in rows]
    return answers[rows]


class Head(ABC):
    """How a task is answered. A value: a new head is one class."""

    subject: ClassVar[str]
    """The class that learns and answers with this head, as `package.module.Class`."""
    classes: int | None
    """K; None where the answers are completions."""

    @abstractmethod
    def labels(self, examples: Sequence[Example]) -> Answers:
        """The ground truth of N examples, in the form of answers."""

    @abstractmethod
    def hard(self, answers: Answers) -> NDArray[Any]:
        """The one answer that is given to each of N examples [N], to be compared by `==`."""

    def correct(self, answers: Answers, examples: Sequence[Example]) -> NDArray[np.bool_]:
        """Whether each of N examples is answered with the ground truth [N]."""
        return self.agree(answers, self.labels(examples))

    def agree(self, answers: Answers, others: Answers) -> NDArray[np.bool_]:
        """Whether two models give each of N examples the same answer [N]."""
        return self.hard(answers) == self.hard(others)


class LinearHead(Head):
    """A linear layer on the final hidden state of the last token of each view."""

    subject: ClassVar[str] = "w2sweep.learning.subjects.Classifier"
    probe: ClassVar[str] = "w2sweep.learning.subjects.Probe"
    """The class that learns and answers with it on features of a frozen backbone."""
    bias: ClassVar[bool] = True
    classes: int
    init: Literal["unembedding", "zero"]
    """Where the layer starts: at zero, or at the unembedding rows of `words`."""

    @property
    @abstractmethod
    def words(self) -> list[str]:
        """A token for each output of the layer."""

    def logits(self, outputs: Any) -> Any:
        """Outputs of the layer [B, views, len(words)] as class logits [B, K]."""
        return outputs.flatten(1)

    def labels(self, examples: Sequence[Example]) -> NDArray[np.float32]:
        """The classes, one-hot [N, K]. Raises ConfigError where a label is none of the K."""
        numbers = [int(e.label) for e in examples]
        if numbers and not 0 <= min(numbers) <= max(numbers) < self.classes:
            wrong = max(numbers, key=lambda n: abs(n + 0.5))
            raise ConfigError(
                f"an example has the label {wrong}, but the task's head has {self.classes} "
                "classes, numbered from 0: correct the head or the labels"
            )
        return np.eye(self.classes, dtype=np.float32)[numbers]

    def hard(self, answers: Answers) -> NDArray[np.int64]:
        """The most likely class of each example [N]."""
        return np.asarray(answers).argmax(-1)


@value
class Choice(LinearHead):
    """One of K classes, by K logits. Burns et al. 2023, appendix A.1."""

    classes: Annotated[int, Field(ge=2)] = 2
    init: Literal["unembedding", "zero"] = "unembedding"
    """`unembedding`: the rows of the tokens "0", "1", ... (the paper)."""

    @property
    def words(self) -> list[str]:
        """The numbers of the classes: "0", "1", ..."""
        return [str(k) for k in range(self.classes)]


@value
class Reward(LinearHead):
    """One logit for each of two views.

    They are the K = 2 logits of the pair, so that cross-entropy is the Bradley-Terry loss. Burns et
    al. 2023, appendix A.3.
    """

    bias: ClassVar[bool] = False  # that of one view would cancel the other's
    classes: ClassVar[int] = 2

    init: Literal["unembedding", "zero"] = "unembedding"
    """`unembedding`: the row of an arbitrary token (the paper)."""

    @property
    def words(self) -> list[str]:
        """The arbitrary token of the one output."""
        return ["1"]


@value
class Completion(Head):
    """The language model's own head: greedy completion, exact match up to surrounding blanks.

    Burns et al. 2023, appendix A.2.
    """

    subject: ClassVar[str] = "w2sweep.learning.subjects.Generator"
    classes: ClassVar[None] = None

    max_new_tokens: Count = 8
    """Longest completion, in tokens."""

    def labels(self, examples: Sequence[Example]) -> list[str]:
        """The true completions [N]."""
        return [str(e.label) for e in examples]

    def hard(self, answers: Answers) -> NDArray[np.str_]:
        """The completions without surrounding blanks [N]."""
        return np.array([str(answer).strip() for answer in answers])
