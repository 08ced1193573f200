"""Texts that are longer than what a model reads: what is kept, counted, told and refused."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from toys import ToyCorpus, job
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from w2sweep.experiment.backbone import Tokenizer
from w2sweep.learning import lengths, tokens
from w2sweep.learning.lengths import completions_within, prompts_within, views_within
from w2sweep.learning.tokens import token_ids, train_tokenizer
from w2sweep.tasks.example import Example
from w2sweep.values import ConfigError

Ids = list[list[int]]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """A token a word, and one where a text begins."""
    words = ["a b c d e f g h i j k l m n o p"]
    return train_tokenizer(Tokenizer("word"), words + list(ToyCorpus().documents()))


def texts(*views: str | tuple[str, ...], labels: Sequence[int | str] = ()) -> dict[str, Any]:
    """A split of examples of these views."""
    examples = []
    for n, shown in enumerate(views):
        label = labels[n] if labels else n % 2
        examples.append(Example.of(*([shown] if isinstance(shown, str) else shown), label=label))
    return {"student": examples}


def read(tokenizer: PreTrainedTokenizerFast, splits: Any, longest: int, folder: Path) -> Any:
    with job(folder) as made:
        return views_within(tokenizer, splits, longest, made)["student"], made.facts["cut"]


def test_what_is_cut_is_counted(tokenizer: PreTrainedTokenizerFast, tmp_path: Path):
    splits = texts("a b", "c d e f", "g", "h i j k l", labels=[0, 1, 0, 1])
    (short, cut, *_), counts = read(tokenizer, splits, 4, tmp_path)
    assert len(short) == 3
    assert cut == [short[0], *token_ids(tokenizer, ["d e f"], begin=False)[0]]
    assert counts == {"student": {"texts": 4, "cut": 2, "contradicting": 0}}


def test_nothing_is_said_where_nothing_is_cut(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    _, counts = read(tokenizer, texts("a b", "c d"), 3, tmp_path)
    assert counts == {}
    assert not caplog.records


def test_a_cut_that_makes_texts_equal_is_told_in_one_line_once(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    lengths.warn.cache_clear()
    splits = texts("a n o p", "b n o p", "c d", "e f")
    with caplog.at_level(logging.WARNING):
        _, counts = read(tokenizer, splits, 4, tmp_path)
        read(tokenizer, splits, 4, tmp_path)
    assert counts["student"]["contradicting"] == 2
    [record] = caplog.records
    assert "2 of 4 texts keep only their last 4 tokens; 2 then have equal" in record.getMessage()
    assert "\n" not in record.getMessage()


def test_pairs_whose_views_are_equal_after_cutting_are_counted(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    splits = texts(("a n o p", "b n o p"), ("a c", "a d"))
    _, counts = read(tokenizer, splits, 4, tmp_path)
    assert counts["student"] == {"texts": 4, "cut": 2, "equal_views": 1}


@pytest.mark.parametrize(
    ("views", "longest", "message"),
    [
        ([("a n o p", "b n o p"), ("c n o k", "d n o k")], 4, "both texts of every pair of split"),
        (["a n o p", "b n o p"], 4, "all texts of split 'student' are the same"),
        (["a b c", "d e f"], 1, "all texts of split 'student' are the same"),
    ],
)
def test_a_cut_that_leaves_nothing_to_learn_is_refused(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, views: Any, longest: int, message: str
):
    with pytest.raises(ConfigError, match=message) as error:
        read(tokenizer, texts(*views), longest, tmp_path)
    assert "recipe.max_tokens" in str(error.value)
    assert "\n" not in str(error.value)


def prompts(
    tokenizer: PreTrainedTokenizerFast, splits: Any, longest: int, new: int, folder: Path
) -> tuple[Ids, dict[str, Any]]:
    with job(folder) as made:
        return prompts_within(tokenizer, splits, longest, new, made)["student"], made.facts


def test_a_prompt_leaves_room_for_a_completion_and_its_end(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    splits = texts("a b c d e f g h", "a b", labels=[" i j k", " l"])
    (cut, whole), facts = prompts(tokenizer, splits, 9, 3, tmp_path)
    assert len(cut) + 3 + 1 == 9  # with the end token no more than the context
    assert len(whole) == 3
    assert facts["unsayable"] == 0
    assert facts["cut"]["student"]["cut"] == 1


@pytest.mark.parametrize("new", [4, 5, 50])
def test_completions_that_leave_no_room_for_a_prompt_are_refused(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, new: int
):
    splits = texts("a b c", labels=[" d"])
    with pytest.raises(ConfigError, match=f"max_new_tokens={new} leaves no room for a prompt"):
        prompts(tokenizer, splits, 6, new, tmp_path)


def test_completions_that_no_model_can_say_are_refused(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    labels = [" d"] * 8 + [" d e f g", " d e f"]
    splits = texts(*"abcdefghij", labels=labels)
    say = r"2 of 10 true completions have more than max_new_tokens=2 .*max_new_tokens=4"
    with pytest.raises(ConfigError, match=say) as error:
        prompts(tokenizer, splits, 20, 2, tmp_path)
    assert "\n" not in str(error.value)


def test_a_few_completions_that_no_model_can_say_are_told(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    lengths.warn.cache_clear()
    splits = texts(*"abcdefghij", labels=[" d"] * 9 + [" d e f g"])
    with caplog.at_level(logging.WARNING):
        _, facts = prompts(tokenizer, splits, 20, 2, tmp_path)
    assert facts["unsayable"] == 1
    assert "1 of 10 true completions" in caplog.text


def test_a_completion_keeps_its_beginning(tokenizer: PreTrainedTokenizerFast, tmp_path: Path):
    with job(tmp_path) as made:
        cut, whole = completions_within(tokenizer, [" a b c d", " e"], 2, made)
    assert cut == token_ids(tokenizer, ["a b"], begin=False)[0]
    assert whole == token_ids(tokenizer, ["e"], begin=False)[0]
    assert made.facts["completions_cut"] == 1


def test_a_text_without_a_token_is_said(tokenizer: PreTrainedTokenizerFast, tmp_path: Path):
    bare = tokenizer.__class__(tokenizer_object=tokenizer.backend_tokenizer, pad_token="<pad>")
    bare.backend_tokenizer.post_processor = None  # as GPT-2, it marks no beginning
    splits = texts(" ", "a b")
    with pytest.raises(ConfigError, match="makes no token of the text ' '"):
        read(bare, splits, 4, tmp_path)


def test_texts_that_were_read_before_are_what_their_own_tokenizer_makes_of_them(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    other = train_tokenizer(Tokenizer("word"), ["p o n m l k j i h g f e d c b a z"])
    splits = texts("a b", "c d e", "f p", "g")
    views = [view for e in splits["student"] for view in e.views]
    for each in (tokenizer, other, tokenizer, other):
        found, _ = read(each, splits, 9, tmp_path)
        assert found == token_ids(each, views)
        found[0].clear()  # is nobody else's
    assert token_ids(tokenizer, views) != token_ids(other, views)


def test_texts_are_tokenized_once_by_tokenizers_of_one_content(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    splits, made = texts("m n", "o p", "o p a"), []
    monkeypatch.setattr(tokens, "token_ids", lambda *given: made.append(1) or token_ids(*given))
    tokenizer.save_pretrained(tmp_path)
    expected = read(tokenizer, splits, 3, tmp_path / "job")
    assert read(AutoTokenizer.from_pretrained(tmp_path), splits, 3, tmp_path / "job") == expected
    assert len(made) == 1
