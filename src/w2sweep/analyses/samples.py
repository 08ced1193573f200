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
    """Some documents of each genre of the corpus, and some examples of each answer of the task."""
    return [*documents(corpus), *examples(task)]


def documents(corpus: Corpus) -> Iterator[Samples]:
    """A group for each genre, with its share of the documents."""
    read = islice(corpus.documents(), 1, LOOKED_THROUGH)  # the first one may list all words
    texts = [document for document in read if isinstance(document, str)]
    genre = genres(corpus) if isinstance(corpus, World) else lambda text: "documents"
    found: dict[str, list[str]] = {}
    for text in texts:
        found.setdefault(genre(text), []).append(cut(text))
    for name, of_it in sorted(found.items()):
        yield Samples(f"{name}, {len(of_it) / len(texts):.0%}", of_it[:SHOWN])


def genres(world: World) -> Callable[[str], str]:
    """A function that says what kind of document of the world a text is, by words that only such
    ones have."""
    lexicon = world.lexicon
    verdicts = set(" ".join(VERDICTS).split())
    things = set(" ".join(HABITS).split())
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
    """A group for each class; of a task of completions one group, each example with its own."""
    found = [e for e in islice(task.examples(), LOOKED_THROUGH) if isinstance(e, Example)]
    classes = sorted({e.label for e in found if isinstance(e.label, int)})
    for label in classes:
        shown = [e.views for e in found if e.label == label][:SHOWN]
        yield Samples(f"{task.name}: answer {label}", list(map(_in_one_line, shown)))
    if not classes:
        answered = [f"{e.views[0]} → {str(e.label).strip()}" for e in found[:SHOWN]]
        yield Samples(f"{task.name}: question and answer", list(map(cut, answered)))


def _in_one_line(views: Sequence[str]) -> str:
    return " | ".join(map(cut, views))


def cut(text: str) -> str:
    """The text on one line, and not too long."""
    text = " / ".join(text.split("\n"))
    return text if len(text) <= LONGEST else text[:LONGEST] + " ..."


def plain(groups: Sequence[Samples]) -> str:
    """The groups as a text file."""
    return "\n".join(map(_under_title, groups))


def _under_title(group: Samples) -> str:
    return "\n".join((f"# {group.title}\n", *group.texts, ""))
