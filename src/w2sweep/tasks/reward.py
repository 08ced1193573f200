"""Reward modelling: which of two responses to a prompt was preferred. Burns et al. 2023, appendix A.3."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import ClassVar

from w2sweep.building import located
from w2sweep.tasks.example import Example, Skipped, digest
from w2sweep.tasks.heads import Reward
from w2sweep.tasks.rows import Row, read, some
from w2sweep.tasks.source import Source
from w2sweep.tasks.task import Corpus, Family, Task, TaskTexts
from w2sweep.values import named, value


@value
class Pair:
    """A prompt, the preferred response and the other; `group` is what must not straddle two splits."""

    prompt: str
    chosen: str
    rejected: str
    group: str

    def example(self, seed: int = 0) -> Example | Skipped:
        """Two views, each the prompt and a response. A hash of the pair and the seed decides which of them comes first,
        so that the label is not the position."""
        if self.chosen.strip() == self.rejected.strip():
            return Skipped("both responses are the same")
        views = [self.prompt + self.chosen, self.prompt + self.rejected]
        label = int(digest(f"{seed}\0{min(views)}\0{max(views)}"), 16) % 2
        return Example.of(*(reversed(views) if label else views), label=label, group=self.group)


Formatter = Callable[[Row], Iterator[Pair | Skipped]]


@value
class Preferences(Task):
    """Pairs of a dataset of human comparisons."""

    family: ClassVar[Family] = "reward"

    name: str = named()
    source: Source
    format: str
    """The formatter, as `package.module.function`."""
    order_seed: int = 0
    """Decides which response of each pair is the first view."""
    head: Reward = named(default=Reward())

    def __post_init__(self) -> None:
        located(self.format)

    def examples(self) -> Iterator[Example | Skipped]:
        """All pairs with different responses."""
        format: Formatter = located(self.format)
        pairs = read(self.source.rows(), format)
        examples = (
            pair if isinstance(pair, Skipped) else pair.example(self.order_seed) for pair in pairs
        )
        return some(examples, self.source.label)

    @property
    def corpus(self) -> Corpus:
        """Prompts with both responses, the preferred one not marked."""
        return TaskTexts(self)


def hh_rlhf(row: Row) -> Iterator[Pair | Skipped]:
    """Anthropic hh-rlhf: two dialogues that part at some answer of the assistant; all before it is the prompt."""
    turn = "\n\nAssistant:"
    chosen, rejected = (
        row.text("chosen").strip().split(turn),
        row.text("rejected").strip().split(turn),
    )
    shared = sum(
        1
        for _ in takewhile(lambda turns: turns[0] == turns[1], zip(chosen, rejected, strict=False))
    )
    if not shared:
        yield Skipped("the dialogues share no prompt")
    else:
        prompt = turn.join([*chosen[:shared], ""])
        yield Pair(
            prompt, turn.join(chosen[shared:]), turn.join(rejected[shared:]), group=chosen[0]
        )


def shp(row: Row) -> Iterator[Pair | Skipped]:
    """Stanford Human Preferences: two answers to a post, the better one by votes. `labels` is 1 where A is it."""
    first, second = row.text("human_ref_A"), row.text("human_ref_B")
    if row["labels"] not in (0, 1):
        raise row.wrong("labels", f"found {row['labels']!r:.40}, expected 0 or 1")
    if row["score_A"] == row["score_B"]:
        yield Skipped("tie")
    else:
        chosen, rejected = (first, second) if row["labels"] else (second, first)
        yield Pair(
            f"{row.text('history')}\n\nAnswer: ", chosen, rejected, group=row.text("post_id")
        )


def ultrafeedback(row: Row) -> Iterator[Pair | Skipped]:
    """UltraFeedback, binarized: the best answer by GPT-4's score, and another at random; both as conversations."""
    if row["score_chosen"] == row["score_rejected"]:
        yield Skipped("tie")
    else:
        prompt, chosen, rejected = row.text("prompt"), _last(row, "chosen"), _last(row, "rejected")
        yield Pair(f"User: {prompt}\n\nAssistant: ", chosen, rejected, group=prompt)


def _last(row: Row, column: str) -> str:
    """The last message of a conversation; some copies of the dataset have the message alone."""
    found = row[column]
    return row.sound(
        column, found if isinstance(found, str) else row.records(column)[-1].get("content")
    )


def summaries(row: Row) -> Iterator[Pair | Skipped]:
    """OpenAI's comparisons of two summaries of a post or an article. `choice` is the position of the better one."""
    info, texts = (
        row["info"],
        [row.sound("summaries", s.get("text")).strip() for s in row.records("summaries")],
    )
    if row["choice"] not in (0, 1):
        raise row.wrong("choice", f"found {row['choice']!r:.40}, expected 0 or 1")
    text = info.get("post") or info.get("article") or ""
    prompt = f"{info.get('title') or ''}\n{text}\n\nSummary: ".lstrip()
    yield Pair(prompt, texts[row["choice"]], texts[1 - row["choice"]], group=info.get("id") or text)
