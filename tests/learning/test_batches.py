"""Batches: padding, the order of an epoch, what is asked of each sequence."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from toys import ToyCorpus
from transformers import PreTrainedTokenizerFast

from w2sweep.experiment.backbone import Tokenizer
from w2sweep.experiment.recipe import Recipe
from w2sweep.learning.batches import (
    Completions,
    Labelled,
    chunks,
    epoch_order,
    finetuning_batches,
    last_tokens,
    window,
)
from w2sweep.learning.tokens import Ragged, encode, train_tokenizer

LONG = "one old old song was there and it was fine"


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(Tokenizer("bpe", vocabulary=300), list(ToyCorpus().documents()))


def test_ragged_pads_either_side():
    ragged = Ragged.of([[5], [6, 7, 8], [9, 9]])
    ids, mask = ragged.padded(np.array([2, 1]), pad=0)
    assert ids.tolist() == [[9, 9, 0], [6, 7, 8]]
    assert mask.tolist() == [[1, 1, 0], [1, 1, 1]]
    ids, mask = ragged.padded(np.array([0, 2]), pad=0, left=True)
    assert ids.tolist() == [[0, 5], [9, 9]]
    assert mask.tolist() == [[0, 1], [1, 1]]


def test_too_long_a_text_loses_its_beginning_but_not_its_mark(tokenizer: PreTrainedTokenizerFast):
    (whole,), (cut,) = encode(tokenizer, [LONG], 64), encode(tokenizer, [LONG], 5)
    assert len(whole) > 5
    assert cut == [whole[0], *whole[-4:]]
    assert encode(tokenizer, [LONG, ""], 1) == [[whole[0]]] * 2
    assert encode(tokenizer, ["fine"], 64, begin=False)[0][0] != whole[0]


def test_the_last_token_is_the_last_real_one_on_either_side():
    mask = torch.tensor([[1, 1, 1, 0], [0, 1, 1, 1], [1, 0, 0, 0]])
    assert last_tokens(mask).nonzero().tolist() == [[0, 2], [1, 3], [2, 0]]


def test_a_completion_is_asked_for_from_the_end_of_its_prompt_to_its_own_end():
    data = Completions.of([[1, 2, 3], [1]], [[4, 5], [6]], end=9, pad=0)
    batch = data.batch(np.array([0, 1]))
    assert batch.ids.tolist() == [[1, 2, 3, 4, 5, 9], [1, 6, 9, 0, 0, 0]]
    assert batch.asked.nonzero().tolist() == [[0, 2], [0, 3], [0, 4], [1, 0], [1, 1]]
    assert batch.targets.tolist() == [4, 5, 9, 6, 9]


def test_every_token_of_a_window_predicts_the_next_one():
    batch = window(np.arange(10, dtype=np.uint16), np.array([0, 6]), context=3)
    assert batch.ids.tolist() == [[0, 1, 2], [6, 7, 8]]
    assert batch.targets.tolist() == [1, 2, 3, 7, 8, 9]
    assert batch.asked.all()


def test_chunks_hold_every_row_and_no_more_than_the_budget_but_for_single_rows():
    lengths = np.array([3, 9, 1, 4, 12, 4])
    parts = list(chunks(lengths, budget=10))
    assert sorted(np.concatenate(parts)) == list(range(6))
    for part in parts:
        assert len(part) == 1 or len(part) * lengths[part].max() <= 10
    assert [len(part) for part in parts] == [1, 1, 2, 2]


def padding(lengths: NDArray[np.int64], recipe: Recipe) -> float:
    """Padded tokens of an epoch, a real one."""
    batches = epoch_order(lengths, recipe, np.random.default_rng(1))
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    return sum(lengths[b].max() * len(b) for b in batches) / lengths.sum()


def test_an_epoch_is_every_example_once_in_batches_of_similar_length():
    lengths = np.random.default_rng(0).integers(3, 60, 330)
    by_length = padding(lengths, Recipe(epochs=1, batch_size=10, length_pool=8))
    at_random = padding(lengths, Recipe(epochs=1, batch_size=10, length_pool=1))
    assert by_length < 1.2 < at_random


def ids(batches: Iterator[list]) -> list[Tensor]:
    return [micro[0].ids for micro in batches]


def test_epochs_differ_and_resuming_skips_what_was_seen():
    sequences = Ragged.of([[i] * (1 + i % 5) for i in range(40)])
    data = Labelled(sequences, 1, torch.zeros(40, 2), pad=0)
    recipe = Recipe(epochs=3, batch_size=8)
    whole = ids(finetuning_batches(data, recipe, seed=0, budget=10_000, start=0))
    assert len(whole) == 15
    assert not same(whole[:5], whole[5:10])
    for start in (1, 5, 7, 14):
        rest = ids(finetuning_batches(data, recipe, seed=0, budget=10_000, start=start))
        assert same(rest, whole[start:])


def same(some: list[Tensor], others: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))
