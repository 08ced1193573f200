"""Wordings: how a language model that was not finetuned is asked what a task asks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

from w2sweep.tasks.example import Example
from w2sweep.values import ConfigError, value

ONE, TWO = ("{text}",), ("{first}", "{second}")
SLOT = re.compile(r"\{text\}|\{first\}|\{second\}")


@value
class Wording:
    """A prompt with room for an example's text, and the words that may follow it.

    The word that the language model finds likelier is its answer. Burns et al. 2023, section 5.2.1
    and table 2.
    """

    template: str
    """Has `{text}`; or, for examples of two views, `{first}` and `{second}`: then the model says
    which of them is better, and is asked in both orders. With `{text}` it is asked of each view by
    itself."""
    words: tuple[str, ...]
    """The answer words exactly as they follow the prompt, with a blank before them where the model
    needs one. A word a class; with `{first}` and `{second}`, those that say which of them is
    better; where a view is asked by itself, those for the worse and the better one."""
    between: str = "\n\n"
    """Stands behind the answer word of each demonstration."""
    content_free: str = "N/A"
    """In place of the texts, to see what a model answers when nothing is asked (Zhao et al.
    2021)."""

    def __post_init__(self) -> None:
        slots = tuple(SLOT.findall(self.template))
        if slots not in (ONE, TWO):
            found = " ".join(slots) or "none"
            raise ConfigError(
                f"template: found the slots {found}, expected {{text}} once, or {{first}} and then "
                "{second}"
            )
        given = [word.strip() for word in self.words]
        if len(given) < 2 or len(set(given)) < len(given) or not all(given):
            found = ", ".join(map(repr, self.words)) or "nothing"
            raise ConfigError(f"words: found {found}, expected a different word for each class")

    @cached_property
    def compares(self) -> bool:
        """Whether it shows both views of an example at once."""
        return SLOT.findall(self.template) == list(TWO)

    def filled(self, texts: Sequence[str]) -> str:
        """The prompt for one text, or for a first and a second one."""
        slots = TWO if self.compares else ONE
        fillings = dict(zip(slots, texts, strict=True))
        return SLOT.sub(lambda slot: fillings[slot[0]], self.template)

    def asked(self, e: Example) -> list[tuple[str, ...]]:
        """The texts of each prompt that an example makes: of two views always two prompts, which
        show both of them in either order, or one each."""
        if self.compares:
            return [e.views, e.views[::-1]]
        return [(view,) for view in e.views]

    def shown(self, e: Example, answer: int) -> tuple[tuple[str, ...], str]:
        """An example as a demonstration: the texts of its prompt, and the word for this answer.

        Of two views that are asked by themselves the first one is shown.
        """
        texts = self.asked(e)[0]
        apart = len(e.views) > 1 and not self.compares
        return texts, self.words[int(answer == 0) if apart else answer]
