"""NLP datasets as yes-or-no points, with a formatter for each. Burns et al. 2023, appendix A.1.

A formatter is a function that takes a row of a dataset and yields its points. Answers to one
question share `question`, of which `Splits` keeps as many right ones as wrong ones. `group` is
what must not straddle two splits: the passage, the premise, the dialogue.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import ClassVar

from w2sweep.tasks.example import Example, Skipped, normalized
from w2sweep.tasks.heads import Choice
from w2sweep.tasks.remark import Remark
from w2sweep.tasks.rows import FormatterPath, Row, of_two_classes, some
from w2sweep.tasks.source import Source
from w2sweep.tasks.task import Corpus, Family, Task, TaskTexts
from w2sweep.tasks.wording import Wording
from w2sweep.values import named, value

Points = Iterator[Example | Skipped]


@value
class Classification(Task):
    """Points of a dataset, each of one of two classes."""

    family: ClassVar[Family] = "nlp"
    label_classes: ClassVar[int] = 2

    name: str = named()
    source: Source
    format: FormatterPath
    """Makes the points of a row."""
    remark: Remark | None = named(default=None, kw_only=True)
    head: Choice = named(default=Choice())
    wording: Wording | None = named(default=None)

    def examples(self) -> Points:
        """All points, right and wrong answers alike."""
        points = some(self.format(self.source.rows()), self.source.label)
        return of_two_classes(points, self.source.label)

    @cached_property
    def corpus(self) -> Corpus:
        """The texts of all points: every answer to a question, with none marked as right."""
        return TaskTexts(self)


def point(text: str, label: int | None, group: str | Sequence[str] = ()) -> Points:
    """A point that is no answer to a question with several. A label of None is skipped."""
    yield Skipped("unlabelled") if label is None else Example.of(text, label=label, group=group)


def choices(
    question: str, answers: Sequence[str], right: int | None, group: str | Sequence[str]
) -> Points:
    """A point for each answer to a multiple-choice question; they differ in the answer alone.

    `right` is the index of the right answer, or None where it is not known.
    """
    for n, answer in enumerate(answers):
        yield from rated(question, answer, None if right is None else int(n == right), group)


def rated(question: str, answer: str, label: int | None, group: str | Sequence[str]) -> Points:
    """One answer to a question, right (1) or wrong (0). A label of None is skipped."""
    if label is None:
        yield Skipped("unlabelled")
    else:
        text = f"{question}\nAnswer: {answer}"
        yield Example.of(text, label=label, group=group, question=question)


def whole(row: Row, column: str, below: int = 2, first: int = 0) -> int | None:
    """A label, however it is written, as a number from 0 to `below` - 1.

    `first` is what the dataset starts to count from. None where the label is left open (-1 or
    nothing). Raises ConfigError for anything else.
    """
    found = row[column]
    text = str(int(found) if isinstance(found, float) and found.is_integer() else found).strip()
    if text in ("-1", "", "None"):
        return None
    words = {"False": 0, "True": 1, "no": 0, "yes": 1}
    label = words.get(text, int(text) if text.isdecimal() else -1) - first
    if not 0 <= label < below:
        expected = f"expected a whole number from {first} to {first + below - 1}"
        raise row.wrong(column, f"found {text!r:.40}, {expected}")
    return label


def lettered(row: Row) -> tuple[list[str], int | None]:
    """The texts of `choices`, and which of them `answerKey` names by its letter or digit.

    None where the key is empty. Raises ConfigError where it is no choice's.
    """
    records = row.records("choices")
    texts = [row.sound("choices", record.get("text")) for record in records]
    letters = [row.sound("choices", record.get("label")) for record in records]
    key = row["answerKey"]
    if key and key not in letters:
        raise row.wrong("answerKey", f"found {key!r:.40}, expected one of {', '.join(letters)}")
    return texts, letters.index(key) if key else None


# The 22 datasets of the paper's table 1, in its order.


def boolq(row: Row) -> Points:
    """BoolQ: is the answer to the question about the passage yes?"""
    text = f"{row.text('passage')}\nQuestion: {row.text('question')}?"
    return point(text, whole(row, "answer"), group=row.text("passage"))


def cosmos_qa(row: Row) -> Points:
    """CosmosQA: questions about a passage.

    "None of the above" means nothing without the answers above, so it is no point. A question
    whose right answer it is has no right answer left, and `Splits` leaves that out.
    """
    answers, right = [row.text(f"answer{n}") for n in range(4)], whole(row, "label", below=4)
    context = row.text("context")
    question = f"{context}\nQuestion: {row.text('question')}"
    for n, answer in enumerate(answers):
        if answer.casefold().startswith("none of the above"):
            yield Skipped('"None of the above" as an answer')
        else:
            label = None if right is None else int(n == right)
            yield from rated(question, answer, label, group=context)


def dream(row: Row) -> Points:
    """DREAM: questions about a dialogue. The right answer is given as text."""
    dialogue, answers, right = row.texts("dialogue"), row.texts("choice"), row.text("answer")
    if right not in answers:
        raise row.wrong("answer", f"found {right!r:.40}, expected one of the choices")
    text = "\n".join([*dialogue, f"Question: {row.text('question')}"])
    return choices(text, answers, answers.index(right), group="\n".join(dialogue))


def ethics_justice(row: Row) -> Points:
    """ETHICS, justice: is the reason reasonable?

    Scenarios come in sets with the same claim or the same reason. A fifth of them have no
    "because", and many claims differ from their tenth word on, so scenarios that share how they
    begin stay together as well.
    """
    scenario = row.text("scenario")
    beginning = " ".join(normalized(scenario).split()[:10])
    claim, *reasons = _REASONS.split(scenario, maxsplit=1)
    group = [part for part in (beginning, claim, *reasons) if part.strip()]
    text = f"{scenario}\nQuestion: Is this reasonable?"
    return point(text, whole(row, "label"), group)


_REASONS = re.compile(r"[,;:]?\s(?:because|since|but)\b:?\s*|[,;]\s*", re.IGNORECASE)
"""Where the claim of a scenario ends and the reason for it begins."""


def ethics_deontology(row: Row) -> Points:
    """ETHICS, deontology: is the excuse, or what follows from the role, reasonable?"""
    text = f"{row.text('scenario')}\n{row.text('excuse')}\nQuestion: Is this reasonable?"
    return point(text, whole(row, "label"), group=row.text("scenario"))


def ethics_virtue(row: Row) -> Points:
    """ETHICS, virtue: does the person show the trait?

    Most often not, so `Splits` leaves out most of the negatives.
    """
    scenario, _, trait = row.text("scenario").partition("[SEP]")
    scenario, trait = scenario.strip(), trait.strip() or row.text("trait")
    return point(f"{scenario}\nQuestion: Is this {trait}?", whole(row, "label"), group=scenario)


def ethics_utilitarianism(row: Row) -> Points:
    """ETHICS, utilitarianism: is the first of two events more pleasant than the second?

    The dataset always has the more pleasant one first, so each pair is shown both ways. Pairs that
    share a scenario, or how it begins, stay together: they are one event with different endings.
    """
    is_older_mirror = "activity" in row
    columns = ("activity", "baseline") if is_older_mirror else ("baseline", "less_pleasant")
    better, worse = map(row.text, columns)
    group = (better, worse, " ".join(better.split()[:5]), " ".join(worse.split()[:5]))
    for first, second, label in ((better, worse, 1), (worse, better, 0)):
        text = f"1: {first}\n2: {second}\nQuestion: Is the first more pleasant than the second?"
        yield Example.of(text, label=label, group=group, question=better + worse)


def anli(row: Row) -> Points:
    """ANLI: does the premise entail the hypothesis? Neutral counts as contradiction."""
    label = whole(row, "label", below=3)
    text = f"{row.text('premise')}\nQuestion: Does this mean that {row.text('hypothesis')}"
    return point(text, None if label is None else int(label == 0), group=row.text("premise"))


def cola(row: Row) -> Points:
    """GLUE CoLA: is the sentence acceptable English?"""
    return point(row.text("sentence"), whole(row, "label"))


def sst2(row: Row) -> Points:
    """GLUE SST-2: is the phrase from a film review positive?

    The phrases of one sentence overlap, and stay together.
    """
    text = row.text("sentence").strip()
    return point(text, whole(row, "label"), group=runs(text))


def runs(text: str, length: int = 5) -> list[str]:
    """All `length` consecutive words of a text, or the whole text if it has fewer words.

    Two texts with such a run in common are taken to be parts of one text.
    """
    words = normalized(text).split()
    return [" ".join(words[n : n + length]) for n in range(max(1, len(words) - length + 1))]


def hellaswag(row: Row) -> Points:
    """HellaSwag: is this how the text goes on?

    Clips of one video, and parts of one article, stay together.
    """
    context, endings, source = row.text("ctx"), row.texts("endings"), row.get("source_id") or ""
    group = (context, source) if source and not source.endswith("unknown") else context
    right = whole(row, "label", below=len(endings))
    return choices(f"{row.text('activity_label')}: {context}", endings, right, group)


def mc_taco(row: Row) -> Points:
    """MC-TACO: is the answer to the question about time plausible?

    Each row is one answer, and any number of the answers to a question may be plausible.
    """
    question = f"{row.text('sentence')}\nQuestion: {row.text('question')}"
    return rated(question, row.text("answer"), whole(row, "label"), group=row.text("sentence"))


def openbookqa(row: Row) -> Points:
    """OpenBookQA: questions of science.

    All answers are shown as texts; shown as its letter, the right one would give itself away.
    """
    return choices(row.text("question_stem"), *lettered(row), group=row.text("question_stem"))


def paws(row: Row) -> Points:
    """PAWS: do the two sentences mean the same?

    Sentences made of the same words in another order stay together.
    """
    first, second = row.text("sentence1"), row.text("sentence2")
    group = [" ".join(sorted(set(sentence.casefold().split()))) for sentence in (first, second)]
    text = f"1: {first}\n2: {second}\nQuestion: Do these mean the same?"
    return point(text, whole(row, "label"), group)


def quail(row: Row) -> Points:
    """QuAIL: questions about a passage."""
    question = f"{row.text('context')}\nQuestion: {row.text('question')}"
    answers = row.texts("answers")
    right = whole(row, "correct_answer_id", below=len(answers))
    return choices(question, answers, right, group=row.text("context"))


def piqa(row: Row) -> Points:
    """PIQA: is this the way to reach the goal?"""
    goal, answers = row.text("goal"), [row.text("sol1"), row.text("sol2")]
    return choices(goal, answers, whole(row, "label"), group=goal)


def quartz(row: Row) -> Points:
    """QuaRTz: questions about a sentence on how one quantity depends on another."""
    question = f"{row.text('para')}\nQuestion: {row.text('question')}"
    return choices(question, *lettered(row), group=row.text("para"))


def sciq(row: Row) -> Points:
    """SciQ: questions of science, shown without the passage that supports the answer.

    Questions with the same passage stay together.
    """
    columns = ("correct_answer", "distractor1", "distractor2", "distractor3")
    answers = [row.text(column) for column in columns]
    support = row.get("support") or ""
    group = (row.text("question"), support) if support.strip() else row.text("question")
    return choices(f"Question: {row.text('question')}", answers, 0, group)


def social_i_qa(row: Row) -> Points:
    """Social IQa: questions about a situation. The dataset counts answers from 1."""
    question = f"{row.text('context')}\nQuestion: {row.text('question')}"
    answers = [row.text("answerA"), row.text("answerB"), row.text("answerC")]
    right = whole(row, "label", below=3, first=1)
    return choices(question, answers, right, group=row.text("context"))


def multirc(row: Row) -> Points:
    """SuperGLUE MultiRC: is the answer to the question about the passage right?

    Each row is one answer.
    """
    question = f"{row.text('paragraph')}\nQuestion: {row.text('question')}"
    return rated(question, row.text("answer"), whole(row, "label"), group=row.text("paragraph"))


def wic(row: Row) -> Points:
    """SuperGLUE WiC: does the word mean the same in both sentences?

    All pairs of a word stay together.
    """
    first, second, word = map(row.text, ("sentence1", "sentence2", "word"))
    text = f"1: {first}\n2: {second}\nQuestion: Does {word} mean the same in both?"
    return point(text, whole(row, "label"), group=word)


def twitter_sentiment(row: Row) -> Points:
    """Tweets: is it a positive one, by the smileys that were removed from it?"""
    return point(row.text("text").strip(), whole(row, "label"))


# Further datasets that are common in work on weak-to-strong generalization.


def amazon_polarity(row: Row) -> Points:
    """Product reviews: is it a positive one?"""
    return point(f"{row['title'] or ''}\n{row.text('content')}".strip(), whole(row, "label"))


def rte(row: Row) -> Points:
    """GLUE RTE: does the first text entail the second? On the hub, 0 is yes."""
    label = whole(row, "label")
    text = f"{row.text('sentence1')}\nQuestion: Does this mean that {row.text('sentence2')}"
    return point(text, None if label is None else 1 - label, group=row.text("sentence1"))


def arc(row: Row) -> Points:
    """ARC, easy or challenge: questions of school science."""
    return choices(row.text("question"), *lettered(row), group=row.text("question"))


def commonsense_qa(row: Row) -> Points:
    """CommonsenseQA. Questions were written about a concept, several about the same one."""
    question, concept = row.text("question"), row.text("question_concept")
    return choices(question, *lettered(row), group=(question, concept))


def winogrande(row: Row) -> Points:
    """WinoGrande: does this option fill the blank?

    Questions with the same options stay together.
    """
    options, right = [row.text("option1"), row.text("option2")], whole(row, "answer", first=1)
    sentence, group = row.text("sentence"), " ".join(sorted(options))
    for n, option in enumerate(options):
        if right is None:
            yield Skipped("unlabelled")
        else:
            text = sentence.replace("_", option)
            yield Example.of(text, label=int(n == right), group=group, question=sentence)
