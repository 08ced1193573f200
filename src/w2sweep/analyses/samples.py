"""What there is to read in a world, and what is asked about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from w2sweep.lab.text.grammar import HABITS, VERDICTS
from w2sweep.lab.text.world import World
from w2sweep.tasks.example import Example
from w2sweep.tasks.task import Corpus, Task

SHOWN = 6
"""Documents of a genre, and examples of a class."""
LOOKED_THROUGH = 2000
"""Documents, from the beginning of the corpus."""
LONGEST = 300
"""Characters of a sample: longer ones lose their end."""


@dataclass(frozen=True)
class Samples:
    """Some texts under one title."""

    title: str
    texts: Sequence[str]


def samples(corpus: Corpus, task: Task) -> list[Samples]:
    """Of the corpus by genre, and of the task by answer."""
    return [*documents(corpus), *examples(task)]


def documents(corpus: Corpus) -> Iterator[Samples]:
    """A group a genre."""
    texts = list(islice(corpus.documents(), 1, LOOKED_THROUGH))  # the first one may list all words
    genre = genres(corpus) if isinstance(corpus, World) else lambda text: "documents"
    found: dict[str, list[str]] = {}
    for text in texts:
        found.setdefault(genre(text), []).append(cut(text))
    for name in sorted(found):
        yield Samples(f"{name}, {len(found[name]) / len(texts):.0%}", found[name][:SHOWN])


def genres(world: World) -> Callable[[str], str]:
    """What kind of document of the world a text is, by words that only such ones have."""
    lexicon = world.lexicon
    verdicts = {word for line in VERDICTS for word in line.split()}
    things = {word for line in HABITS for word in line.split()}
    things.update(lexicon.words[lexicon.entity.ids], lexicon.words[lexicon.categories])

    def genre(text: str) -> str:
        words = set(text.split())
        if "user" in words:
            return "dialogues"
        if words & verdicts:
            return "reviews"
        return "articles" if words & things else "answers stated outright"

    return genre


def examples(task: Task) -> Iterator[Samples]:
    """Of each class; of completions each with its own."""
    found = [e for e in islice(task.examples(), LOOKED_THROUGH) if isinstance(e, Example)]
    classes = sorted({e.label for e in found if isinstance(e.label, int)})
    for label in classes:
        texts = [" | ".join(map(cut, e.views)) for e in found if e.label == label]
        yield Samples(f"{task.name}: answer {label}", texts[:SHOWN])
    if not classes:
        yield Samples(
            f"{task.name}: question and answer",
            [cut(f"{e.views[0]} → {str(e.label).strip()}") for e in found[:SHOWN]],
        )


def cut(text: str) -> str:
    """On one line, and not too long."""
    text = " / ".join(text.split("\n"))
    return text if len(text) <= LONGEST else text[:LONGEST] + " ..."


def plain(groups: Sequence[Samples]) -> str:
    """As a text file."""
    return "\n".join(f"# {g.title}\n\n" + "".join(f"{text}\n" for text in g.texts) for g in groups)
