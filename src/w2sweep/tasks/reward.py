"""Reward modelling: which of two responses was preferred? Burns et al. 2023, appendix A.3."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import takewhile
from typing import ClassVar

from w2sweep.tasks.example import Example, Skipped, digest
from w2sweep.tasks.heads import Reward
from w2sweep.tasks.rows import FormatterPath, Row, some
from w2sweep.tasks.source import Source
from w2sweep.tasks.task import Corpus, Family, Task, TaskTexts
from w2sweep.tasks.wording import Wording
from w2sweep.values import Seed, named, value


@value
class Pair:
    """A prompt, the preferred response and the other one."""

    prompt: str
    chosen: str
    rejected: str
    group: str
    """What must not straddle two splits."""

    def example(self, seed: int = 0) -> Example | Skipped:
        """An example of two views, each of them the prompt and one response.

        Which response comes first is decided by a hash of both texts and the seed, so that the
        label says nothing of the position.
        """
        if self.chosen.strip() == self.rejected.strip():
            return Skipped("both responses are the same")
        views = [self.prompt + self.chosen, self.prompt + self.rejected]
        label = int(digest(f"{seed}\0{min(views)}\0{max(views)}"), 16) % 2
        return Example.of(*(reversed(views) if label else views), label=label, group=self.group)


Pairs = Iterator[Pair | Skipped]


@value
class Preferences(Task):
    """Pairs of a dataset of human comparisons."""

    family: ClassVar[Family] = "reward"

    name: str = named()
    source: Source
    format: FormatterPath
    """Makes the pairs of a row."""
    order_seed: Seed = 0
    """Decides which response of each pair is the first view."""
    head: Reward = named(default=Reward())
    wording: Wording | None = named(default=None)

    def examples(self) -> Iterator[Example | Skipped]:
        """All pairs with different responses."""
        return some(self._compared(), self.source.label)

    @cached_property
    def corpus(self) -> Corpus:
        """Prompts with both responses; the preferred one is not marked."""
        return TaskTexts(self)

    def _compared(self) -> Iterator[Example | Skipped]:
        for pair in self.format(self.source.rows()):
            yield pair if isinstance(pair, Skipped) else pair.example(self.order_seed)


def hh_rlhf(row: Row) -> Pairs:
    """Anthropic hh-rlhf: two dialogues that differ from some answer of the assistant on.

    All that comes before that answer is the prompt.
    """
    turn = "\n\nAssistant:"
    chosen = row.text("chosen").strip().split(turn)
    rejected = row.text("rejected").strip().split(turn)
    turns = zip(chosen, rejected, strict=False)
    shared = len(list(takewhile(lambda both: both[0] == both[1], turns)))
    if not shared:
        yield Skipped("the dialogues share no prompt")
    else:
        prompt = turn.join([*chosen[:shared], ""])
        better, worse = turn.join(chosen[shared:]), turn.join(rejected[shared:])
        yield Pair(prompt, better, worse, group=chosen[0])


def shp(row: Row) -> Pairs:
    """Stanford Human Preferences: two answers to a post, the better one by votes.

    `labels` is 1 where answer A is the better one.
    """
    first, second = row.text("human_ref_A"), row.text("human_ref_B")
    if row["labels"] not in (0, 1):
        raise row.wrong("labels", f"found {row['labels']!r:.40}, expected 0 or 1")
    if row["score_A"] == row["score_B"]:
        yield Skipped("tie")
    else:
        chosen, rejected = (first, second) if row["labels"] else (second, first)
        prompt = f"{row.text('history')}\n\nAnswer: "
        yield Pair(prompt, chosen, rejected, group=row.text("post_id"))


def ultrafeedback(row: Row) -> Pairs:
    """UltraFeedback, binarized: the best answer by GPT-4's score, and a random other one.

    Both are conversations, of which the last message is the answer.
    """
    if row["score_chosen"] == row["score_rejected"]:
        yield Skipped("tie")
    else:
        prompt, chosen, rejected = row.text("prompt"), _last(row, "chosen"), _last(row, "rejected")
        yield Pair(f"User: {prompt}\n\nAssistant: ", chosen, rejected, group=prompt)


def _last(row: Row, column: str) -> str:
    """The last message of a conversation; some copies of the dataset have nothing else."""
    found = row[column]
    if not isinstance(found, str):
        found = row.records(column)[-1].get("content")
    return row.sound(column, found)


def summaries(row: Row) -> Pairs:
    """OpenAI's comparisons of two summaries of a post or an article.

    `choice` is the index of the better one.
    """
    info = row["info"]
    texts = [row.sound("summaries", s.get("text")).strip() for s in row.records("summaries")]
    better = row["choice"]
    if better not in (0, 1):
        raise row.wrong("choice", f"found {better!r:.40}, expected 0 or 1")
    text = info.get("post") or info.get("article") or ""
    prompt = f"{info.get('title') or ''}\n{text}\n\nSummary: ".lstrip()
    yield Pair(prompt, texts[better], texts[1 - better], group=info.get("id") or text)
