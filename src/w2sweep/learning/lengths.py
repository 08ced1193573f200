"""Texts that have more tokens than a model reads: what is lost is counted, told, and refused where
nothing is left to learn.

A text keeps its end, where the question is, and a completion its beginning.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache

from transformers import PreTrainedTokenizerFast

from w2sweep.engine.stage import Job
from w2sweep.learning.tokens import keep_end, marks_of, token_ids, token_ids_kept, without_end
from w2sweep.tasks.example import Example
from w2sweep.values import ConfigError

log = logging.getLogger(__name__)

NOTABLE = 0.1
"""The share of texts that are cut from which on it is told, and not only counted. The share of
true completions that no model can say from which on a task is refused."""

Splits = Mapping[str, Sequence[Example]]
Ids = list[list[int]]
"""Token ids of some texts, one list each."""


def views_within(
    tokenizer: PreTrainedTokenizerFast, splits: Splits, longest: int, job: Job
) -> dict[str, Ids]:
    """The views of N examples a split, those of an example side by side, as at most `longest`
    tokens each.

    Raises ConfigError where the cut leaves nothing to tell examples apart by.
    """
    whole = {name: _views(tokenizer, examples) for name, examples in splits.items()}
    return _within(whole, splits, longest, len(marks_of(tokenizer)[0]), job)


def prompts_within(
    tokenizer: PreTrainedTokenizerFast, splits: Splits, longest: int, new: int, job: Job
) -> dict[str, Ids]:
    """The prompts of N examples a split, with room for `new` tokens and an end behind each.

    Raises ConfigError where there is no room for a prompt, or too many of the true completions
    have more than `new` tokens.
    """
    room, marks = longest - new - 1, len(marks_of(tokenizer)[0])
    if room <= marks:
        raise ConfigError(
            f"max_new_tokens={new} leaves no room for a prompt in the {longest} tokens that this "
            "model reads (its context, or recipe.max_tokens): lower task.head.max_new_tokens (of "
            "a file of your own: task.max_new_tokens)"
        )
    _check_sayable(tokenizer, splits, new, job)
    whole = {}
    for name, examples in splits.items():
        whole[name] = without_end(tokenizer, _views(tokenizer, examples))
    return _within(whole, splits, room, marks, job)


def completions_within(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], new: int, job: Job
) -> Ids:
    """N completions to learn, which keep their first `new` tokens."""
    whole = token_ids(tokenizer, texts, begin=False)
    job.note(completions_cut=_longer(whole, new))
    return [ids[:new] for ids in whole]


def _views(tokenizer: PreTrainedTokenizerFast, examples: Sequence[Example]) -> Ids:
    """All token ids of the views of some examples. Raises ConfigError where one has none."""
    views = [view for e in examples for view in e.views]
    whole = token_ids_kept(tokenizer, views)
    for ids, text in zip(whole, views, strict=True):
        if not ids:
            raise ConfigError(
                f"the tokenizer makes no token of the text {text!r:.60}: leave it out, or use a "
                "ladder with another tokenizer"
            )
    return whole


def _within(
    whole: dict[str, Ids], splits: Splits, longest: int, marks: int, job: Job
) -> dict[str, Ids]:
    """Texts as their first `marks` tokens and their end, `longest` tokens at most; what that loses
    is noted and told."""
    read, cut = {}, {}
    for name, texts in whole.items():
        read[name] = [keep_end(ids, longest, marks) for ids in texts]
        if lost := _longer(texts, longest):
            labels = [e.label for e in splits[name]]
            cut[name] = {"texts": len(texts), "cut": lost, **_confused(read[name], labels)}
            _check_told_apart(name, cut[name], read[name], longest)
    texts = sum(map(len, read.values()))
    tokens = sum(len(ids) for its in read.values() for ids in its)
    job.note(cut=cut, tokens_per_text=round(tokens / max(1, texts), 1))
    _tell(cut, texts, longest)
    return read


def _longer(sequences: Ids, tokens: int) -> int:
    return sum(len(ids) > tokens for ids in sequences)


def _confused(read: Ids, labels: Sequence[int | str]) -> dict[str, int]:
    """How many of N examples cannot be told apart any more: pairs of equal views, or texts that
    are equal to one with another label."""
    views = len(read) // len(labels)
    shown = [tuple(map(tuple, read[n : n + views])) for n in range(0, len(read), views)]
    if views > 1:
        return {"equal_views": sum(len(set(texts)) == 1 for texts in shown)}
    meant: dict[object, set[int | str]] = defaultdict(set)
    for texts, label in zip(shown, labels, strict=True):
        meant[texts].add(label)
    return {"contradicting": sum(len(meant[texts]) > 1 for texts in shown)}


def _check_told_apart(split: str, counts: dict[str, int], read: Ids, longest: int) -> None:
    pairs = len(read) // 2
    all_equal = counts.get("equal_views") == pairs or len(set(map(tuple, read))) == 1
    if all_equal and len(read) > 1:
        what = "both texts of every pair" if "equal_views" in counts else "all texts"
        raise ConfigError(
            f"cut to their last {longest} tokens, {what} of split '{split}' are the same, so "
            "there is nothing to learn: raise recipe.max_tokens, use models with a longer "
            "context, or leave out long examples (sizes.max_chars)"
        )


def _check_sayable(tokenizer: PreTrainedTokenizerFast, splits: Splits, new: int, job: Job) -> None:
    """Raises ConfigError where more than a tenth of the true completions have over `new` tokens."""
    truth = [str(e.label) for examples in splits.values() for e in examples]
    whole = token_ids(tokenizer, truth, begin=False)
    unsayable = _longer(whole, new)
    job.note(unsayable=unsayable)
    if unsayable > NOTABLE * len(truth):
        longest = max(map(len, whole))
        raise ConfigError(
            f"{unsayable:,} of {len(truth):,} true completions have more than "
            f"max_new_tokens={new} tokens, so no model can say them: set "
            f"task.head.max_new_tokens={longest} (of a file of your own: "
            f"task.max_new_tokens={longest})"
        )
    if unsayable:
        warn(
            f"{unsayable:,} of {len(truth):,} true completions have more than "
            f"max_new_tokens={new} tokens: no model can say them"
        )


def _tell(cut: dict[str, dict[str, int]], texts: int, longest: int) -> None:
    """Says in one line what was cut of so many texts, where it matters."""

    def total(key: str) -> int:
        return sum(counts.get(key, 0) for counts in cut.values())

    lost, equal, contradicting = total("cut"), total("equal_views"), total("contradicting")
    if equal or contradicting or lost > NOTABLE * texts:
        ends = [f"{lost:,} of {texts:,} texts keep only their last {longest} tokens"]
        ends += [f"{equal:,} pairs are of two equal texts then"] if equal else []
        ends += [f"{contradicting:,} then have equal ones with other labels"] * bool(contradicting)
        warn(f"{'; '.join(ends)} (recipe.max_tokens, or the model's context)")


@lru_cache(maxsize=256)  # the models of a sweep read the same texts: once is enough
def warn(message: str) -> None:
    """Tells the user something, once a process."""
    log.warning("%s", message)
