"""NLP datasets as yes-or-no points: one small function a dataset. Burns et al. 2023, table 1 and appendix A.1.

A formatter takes a row and yields its points. Points of one question share `question`: `Splits` keeps as many right
answers as wrong ones of each. `group` is what must not straddle two splits: the passage, the premise, the dialogue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

from w2sweep.building import located
from w2sweep.tasks.example import Example, Skipped, normalized
from w2sweep.tasks.heads import Choice
from w2sweep.tasks.rows import Row, of_two_classes, read, some
from w2sweep.tasks.source import Source
from w2sweep.tasks.task import Corpus, Family, Task, TaskTexts
from w2sweep.values import named, value

Points = Iterator[Example | Skipped]
Formatter = Callable[[Row], Points]


@value
class Classification(Task):
    """Points of a dataset, each of one of two classes."""

    family: ClassVar[Family] = "nlp"

    name: str = named()
    source: Source
    format: str
    """The formatter, as `package.module.function`."""
    head: Choice = named(default=Choice())

    def __post_init__(self) -> None:
        located(self.format)

    def examples(self) -> Points:
        """All points, right and wrong answers alike."""
        format: Formatter = located(self.format)
        points = some(read(self.source.rows(), format), self.source.label)
        return of_two_classes(points, self.source.label)

    @property
    def corpus(self) -> Corpus:
        """The texts of all points: every answer of a question, so that none is marked as the right one."""
        return TaskTexts(self)


def plain(text: str, label: int | None, group: str | Sequence[str] = ()) -> Points:
    """One point that is no answer to a question of several answers."""
    yield Skipped("unlabelled") if label is None else Example.of(text, label=label, group=group)


def choices(
    question: str, answers: Sequence[str], right: int | None, group: str | Sequence[str]
) -> Points:
    """A multiple-choice question as a point for each of its answers, which all look alike but for the answer."""
    for n, answer in enumerate(answers):
        yield from rated(question, answer, None if right is None else int(n == right), group)


def rated(question: str, answer: str, label: int | None, group: str | Sequence[str]) -> Points:
    """One answer of a question."""
    if label is None:
        yield Skipped("unlabelled")
    else:
        yield Example.of(
            f"{question}\nAnswer: {answer}", label=label, group=group, question=question
        )


def whole(row: Row, column: str, below: int = 2, first: int = 0) -> int | None:
    """A label that counts from `first`, whatever it is written as; None where it is left open (-1 or nothing)."""
    found = row[column]
    text = str(int(found) if isinstance(found, float) and found.is_integer() else found).strip()
    if text in ("-1", "", "None"):
        return None
    named = {"False": 0, "True": 1, "no": 0, "yes": 1}
    label = named.get(text, int(text) if text.isdecimal() else -1) - first
    if not 0 <= label < below:
        raise row.wrong(
            column,
            f"found {text!r:.40}, expected a whole number from {first} to {first + below - 1}",
        )
    return label


def lettered(row: Row) -> tuple[list[str], int | None]:
    """The texts of `choices` and the position of the one that `answerKey` names, by a letter or a digit."""
    named = row.records("choices")
    texts, letters = (
        [row.sound("choices", choice.get(key)) for choice in named] for key in ("text", "label")
    )
    key = row["answerKey"]
    if key and key not in letters:
        raise row.wrong("answerKey", f"found {key!r:.40}, expected one of {', '.join(letters)}")
    return texts, letters.index(key) if key else None


# The 22 datasets of the paper, in its order.


def boolq(row: Row) -> Points:
    """BoolQ: is the answer to the question about the passage yes?"""
    text = f"{row.text('passage')}\nQuestion: {row.text('question')}?"
    return plain(text, whole(row, "answer"), group=row.text("passage"))


def cosmos_qa(row: Row) -> Points:
    """CosmosQA. "None of the above" means nothing without the answers above, so it is no point, and a question whose
    right answer it is has no right answer left: `Splits` leaves that out."""
    answers, right = [row.text(f"answer{n}") for n in range(4)], whole(row, "label", below=4)
    question = f"{row.text('context')}\nQuestion: {row.text('question')}"
    for n, answer in enumerate(answers):
        if answer.casefold().startswith("none of the above"):
            yield Skipped('"None of the above" as an answer')
        else:
            yield from rated(
                question,
                answer,
                None if right is None else int(n == right),
                group=row.text("context"),
            )


def dream(row: Row) -> Points:
    """DREAM: questions about a dialogue. The right answer is given as text."""
    dialogue, answers, right = row.texts("dialogue"), row.texts("choice"), row.text("answer")
    if right not in answers:
        raise row.wrong("answer", f"found {right!r:.40}, expected one of the choices")
    text = "\n".join([*dialogue, f"Question: {row.text('question')}"])
    return choices(text, answers, answers.index(right), group="\n".join(dialogue))


def ethics_justice(row: Row) -> Points:
    """ETHICS, justice: is the reason reasonable? Scenarios come in sets with the same claim or the same reason."""
    claim, _, reason = row.text("scenario").partition(" because ")
    group = (claim, reason) if reason else claim
    return plain(
        f"{row.text('scenario')}\nQuestion: Is this reasonable?", whole(row, "label"), group
    )


def ethics_deontology(row: Row) -> Points:
    """ETHICS, deontology: is the excuse, or what follows from the role, reasonable?"""
    text = f"{row.text('scenario')}\n{row.text('excuse')}\nQuestion: Is this reasonable?"
    return plain(text, whole(row, "label"), group=row.text("scenario"))


def ethics_virtue(row: Row) -> Points:
    """ETHICS, virtue: does the person show the trait? Mostly not, so most of the negatives are cut."""
    scenario, _, trait = row.text("scenario").partition("[SEP]")
    scenario, trait = scenario.strip(), trait.strip() or row.text("trait")
    return plain(f"{scenario}\nQuestion: Is this {trait}?", whole(row, "label"), group=scenario)


def ethics_utilitarianism(row: Row) -> Points:
    """ETHICS, utilitarianism: the first of a pair is always the more pleasant one, so each pair is shown both ways.

    Pairs that share a scenario, or how it begins, stay together: they are the same event with different endings.
    """
    columns = (
        ("activity", "baseline") if "activity" in row else ("baseline", "less_pleasant")
    )  # the mirrors differ
    better, worse = map(row.text, columns)
    group = (better, worse, " ".join(better.split()[:5]), " ".join(worse.split()[:5]))
    for first, second, label in ((better, worse, 1), (worse, better, 0)):
        text = f"1: {first}\n2: {second}\nQuestion: Is the first more pleasant than the second?"
        yield Example.of(text, label=label, group=group, question=better + worse)


def anli(row: Row) -> Points:
    """ANLI: does the premise entail the hypothesis? Neutral counts as contradiction."""
    label = whole(row, "label", below=3)
    text = f"{row.text('premise')}\nQuestion: Does this mean that {row.text('hypothesis')}"
    return plain(text, None if label is None else int(label == 0), group=row.text("premise"))


def cola(row: Row) -> Points:
    """GLUE CoLA: is the sentence acceptable English?"""
    return plain(row.text("sentence"), whole(row, "label"))


def sst2(row: Row) -> Points:
    """GLUE SST-2: is the phrase from a film review positive? Phrases of one sentence, which overlap, stay together."""
    text = row.text("sentence").strip()
    return plain(text, whole(row, "label"), group=runs(text))


def runs(text: str, length: int = 5) -> list[str]:
    """All so many words in a row: texts that share one are taken to be parts of one text. A shorter one is its own."""
    words = normalized(text).split()
    return [" ".join(words[n : n + length]) for n in range(max(1, len(words) - length + 1))]


def hellaswag(row: Row) -> Points:
    """HellaSwag: is this how the text goes on? Clips of one video and parts of one article stay together."""
    context, endings, source = row.text("ctx"), row.texts("endings"), row.get("source_id") or ""
    group = (context, source) if source and not source.endswith("unknown") else context
    right = whole(row, "label", below=len(endings))
    return choices(f"{row.text('activity_label')}: {context}", endings, right, group)


def mc_taco(row: Row) -> Points:
    """MC-TACO: is the answer to the question about time plausible? A row an answer, any number of them right."""
    question = f"{row.text('sentence')}\nQuestion: {row.text('question')}"
    return rated(question, row.text("answer"), whole(row, "label"), group=row.text("sentence"))


def openbookqa(row: Row) -> Points:
    """OpenBookQA. Answers are shown as texts, right ones as wrong ones: a letter would give them away."""
    return choices(row.text("question_stem"), *lettered(row), group=row.text("question_stem"))


def paws(row: Row) -> Points:
    """PAWS: do the sentences mean the same? Pairs made of the same words in another order stay together."""
    first, second = row.text("sentence1"), row.text("sentence2")
    group = [" ".join(sorted(set(sentence.casefold().split()))) for sentence in (first, second)]
    return plain(
        f"1: {first}\n2: {second}\nQuestion: Do these mean the same?", whole(row, "label"), group
    )


def quail(row: Row) -> Points:
    """QuAIL: questions about a passage."""
    question = f"{row.text('context')}\nQuestion: {row.text('question')}"
    answers = row.texts("answers")
    right = whole(row, "correct_answer_id", below=len(answers))
    return choices(question, answers, right, group=row.text("context"))


def piqa(row: Row) -> Points:
    """PIQA: is this the way to reach the goal?"""
    return choices(
        row.text("goal"),
        [row.text("sol1"), row.text("sol2")],
        whole(row, "label"),
        group=row.text("goal"),
    )


def quartz(row: Row) -> Points:
    """QuaRTz: questions about a sentence on what depends on what."""
    question = f"{row.text('para')}\nQuestion: {row.text('question')}"
    return choices(question, *lettered(row), group=row.text("para"))


def sciq(row: Row) -> Points:
    """SciQ, without its supporting passage. Questions with the same passage stay together."""
    answers = [
        row.text("correct_answer"),
        row.text("distractor1"),
        row.text("distractor2"),
        row.text("distractor3"),
    ]
    support = row.get("support") or ""
    group = (row.text("question"), support) if support.strip() else row.text("question")
    return choices(f"Question: {row.text('question')}", answers, 0, group)


def social_i_qa(row: Row) -> Points:
    """Social IQa: questions about a situation. Answers are counted from 1."""
    question = f"{row.text('context')}\nQuestion: {row.text('question')}"
    answers = [row.text("answerA"), row.text("answerB"), row.text("answerC")]
    return choices(
        question, answers, whole(row, "label", below=3, first=1), group=row.text("context")
    )


def multirc(row: Row) -> Points:
    """SuperGLUE MultiRC: is the answer to the question about the passage right? A row an answer."""
    question = f"{row.text('paragraph')}\nQuestion: {row.text('question')}"
    return rated(question, row.text("answer"), whole(row, "label"), group=row.text("paragraph"))


def wic(row: Row) -> Points:
    """SuperGLUE WiC: has the word the same meaning in both sentences? All pairs of a word stay together."""
    first, second, word = map(row.text, ("sentence1", "sentence2", "word"))
    text = f"1: {first}\n2: {second}\nQuestion: Does {word} mean the same in both?"
    return plain(text, whole(row, "label"), group=word)


def twitter_sentiment(row: Row) -> Points:
    """Tweets, by the smileys that were taken out of them: is it a positive one?"""
    return plain(row.text("text").strip(), whole(row, "label"))


# What users of other repositories look for.


def amazon_polarity(row: Row) -> Points:
    """Reviews of things bought: is it a positive one?"""
    return plain(f"{row['title'] or ''}\n{row.text('content')}".strip(), whole(row, "label"))


def rte(row: Row) -> Points:
    """GLUE RTE: does the first text entail the second? On the hub 0 is yes."""
    label = whole(row, "label")
    text = f"{row.text('sentence1')}\nQuestion: Does this mean that {row.text('sentence2')}"
    return plain(text, None if label is None else 1 - label, group=row.text("sentence1"))


def arc(row: Row) -> Points:
    """ARC, easy or challenge: questions of school science."""
    return choices(row.text("question"), *lettered(row), group=row.text("question"))


def commonsense_qa(row: Row) -> Points:
    """CommonsenseQA. Questions are made of a concept each, several of one."""
    return choices(
        row.text("question"),
        *lettered(row),
        group=(row.text("question"), row.text("question_concept")),
    )


def winogrande(row: Row) -> Points:
    """WinoGrande: the blank filled with either option. Twins, which have the same options, stay together."""
    options, right = [row.text("option1"), row.text("option2")], whole(row, "answer", first=1)
    for n, option in enumerate(options):
        text, group = row.text("sentence").replace("_", option), " ".join(sorted(options))
        if right is None:
            yield Skipped("unlabelled")
        else:
            yield Example.of(
                text, label=int(n == right), group=group, question=row.text("sentence")
            )
