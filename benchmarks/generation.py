"""Greedy completions and few-shot prompts against plain loops over the same texts, side by side in
one run of about a minute.

    python benchmarks/generation.py

Texts a CPU second of one thread, each the median of rounds that go through all ways in turn, and
their ratio to the first way of a group. All ways of a group say the same: completions are compared
word by word, probabilities within a ten-thousandth.

On one of two cores of an AMD EPYC that other work shared, torch 2.13.0:

                                                                              texts/s   ratio
    puzzles, nano                     one by one, without a cache                 134    1.00
                                      one by one                                  147    1.09
                                      in batches, as they come                 28,656  213.25
                                      in batches by length                     29,051  216.19
    puzzles, base                     one by one, without a cache                  87    1.00
                                      one by one                                  109    1.25
                                      in batches, as they come                  2,937   33.81
                                      in batches by length                      3,091   35.59
    games, 128x4                      one by one, without a cache                  19    1.00
                                      one by one                                   38    1.98
                                      in batches, as they come                     77    3.98
                                      in batches by length                         86    4.46
    1 demonstrations, 128x4           one by one                                  204    1.00
                                      whole, in batches by length                 287    1.41
                                      behind a prefix read once                   552    2.71
    8 demonstrations, 128x4           one by one                                   39    1.00
                                      whole, in batches by length                  36    0.92
                                      behind a prefix read once                   319    8.09

A greedy loop of our own in place of Transformers' `generate` said the same, word by word, and was
1.00 (128x2) to 1.20 times (12x1) as fast on all puzzles of an evaluation. The three evaluations of
a finetuning by generation are, as estimated, from about a tenth of the stage (nano: 0.2 of 2.1 s)
to a fifth (48x2), so it would gain about two hundredths of a stage at most, and is not there.

The lab's puzzles are those of task=mate_in_one, with rungs of ladder=lab; games have 20 to 200
tokens, as whole games written out have. Weights are random, so that no completion ends early.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import torch
from numpy.typing import NDArray

from w2sweep.experiment.backbone import SmallLlama, Tokenizer
from w2sweep.lab.chess.mates import Games, MateInOne
from w2sweep.learning.hardware import keep_freed_memory
from w2sweep.learning.inference import completions
from w2sweep.learning.lengths import Ids
from w2sweep.learning.loading import fresh
from w2sweep.learning.model import Net
from w2sweep.learning.prefix import Prefix
from w2sweep.learning.prompting import log_likelihoods
from w2sweep.learning.tokens import Ragged, token_ids, train_tokenizer
from w2sweep.tasks.heads import Completion

CPU = torch.device("cpu")
BUDGET = 16_384
"""Tokens in one forward pass, the default of `runtime.micro_tokens`."""
ALONE = 24
"""Texts of a group that are read one by one."""
LAB = {"nano": SmallLlama(12, 1, 2), "base": SmallLlama(128, 2, 8)}
WIDE = SmallLlama(128, 4, 8)
Said = Sequence[str] | NDArray[np.float32]
Way = tuple[str, Callable[[], Said], int]
"""Its name, what is measured, and how many texts it reads."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    keep_freed_memory()
    print(f"{'':34}{'':38}{'texts/s':>9}{'ratio':>8}")
    for name, ways in groups():
        show(name, ways, rounds)


def groups() -> list[tuple[str, list[Way]]]:
    """What is compared, by name."""
    puzzles, found = lab_puzzles(), []
    for name, rung in LAB.items():
        found.append((f"puzzles, {name}", generating(network(rung, 48), puzzles, new=4)))
    rng = np.random.default_rng(0)
    games = [rng.integers(3, 700, n).tolist() for n in rng.integers(20, 200, 96)]
    found.append(("games, 128x4", generating(network(WIDE, 512), games, new=6)))
    for shots in (1, 8):
        name = f"{shots} demonstrations, 128x4"
        found.append((name, prompting(network(WIDE, 512), shots)))
    return found


def generating(net: Net, prompts: Ids, new: int) -> list[Way]:
    """Ways to complete prompts by `new` tokens at most."""
    few = prompts[:ALONE]
    return [
        ("one by one, without a cache", partial(one_by_one, net, few, new, False), len(few)),
        ("one by one", partial(one_by_one, net, few, new, True), len(few)),
        ("in batches, as they come", partial(as_they_come, net, prompts, new), len(prompts)),
        ("in batches by length", partial(by_length, net, prompts, new), len(prompts)),
    ]


@torch.no_grad()
def one_by_one(net: Net, prompts: Ids, new: int, cached: bool) -> list[str]:
    said = []
    for ids in prompts:
        given = torch.tensor([ids])
        out = net.lm.generate(  # type: ignore[operator]
            input_ids=given,
            attention_mask=torch.ones_like(given),
            max_new_tokens=new,
            use_cache=cached,
            pad_token_id=net.pad,
            eos_token_id=net.end,
        )
        said += net.tokenizer.batch_decode(out[:, len(ids) :], skip_special_tokens=True)
    return said


def as_they_come(net: Net, prompts: Ids, new: int) -> list[str]:
    ragged = Ragged.of(prompts)
    size = BUDGET // (max(map(len, prompts)) + new)
    said = []
    for start in range(0, len(prompts), size):
        rows = np.arange(start, min(start + size, len(prompts)))
        said += net.complete(*ragged.padded(rows, net.pad, left=True), new)
    return said


def by_length(net: Net, prompts: Ids, new: int) -> list[str]:
    return completions(net, prompts, new, BUDGET, CPU)


def prompting(net: Net, shots: int) -> list[Way]:
    """Ways to ask for two words behind texts of 10 to 40 tokens that stand behind so many
    demonstrations of 40 tokens."""
    rng = np.random.default_rng(shots)
    before = rng.integers(3, 700, 40 * shots).tolist()
    queries = [rng.integers(3, 700, n).tolist() for n in rng.integers(10, 40, 100)]
    few = queries[:ALONE]
    return [
        ("one by one", partial(asked_alone, net, before, few), len(few)),
        ("whole, in batches by length", partial(asked, net, [], before, queries), len(queries)),
        ("behind a prefix read once", partial(asked, net, before, [], queries), len(queries)),
    ]


def asked(net: Net, prefix: list[int], before: list[int], queries: Ids) -> NDArray[np.float32]:
    """Log-likelihoods [S, 2], where `prefix` is read once and `before` with each query."""
    prompts = [before + ids for ids in queries]
    return log_likelihoods(Prefix(net, prefix, CPU), prompts, [[3], [4]], BUDGET, CPU)


@torch.no_grad()
def asked_alone(net: Net, before: list[int], queries: Ids) -> NDArray[np.float32]:
    said = []
    for ids in queries:
        logits = net.lm(input_ids=torch.tensor([before + ids]), logits_to_keep=1).logits
        said.append(logits[0, -1].log_softmax(-1)[3:5])
    return torch.stack(said).numpy()


def show(name: str, ways: list[Way], rounds: int) -> None:
    """Prints a group. Raises AssertionError where its ways do not say the same."""
    seconds: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds + 1):
        said = []
        for times, (_, work, _) in zip(seconds, ways, strict=True):
            started = time.process_time()
            said.append(work())
            times.append(time.process_time() - started)
        check_same(said)
    # the first round warms up
    rates = [
        texts / statistics.median(times[1:])
        for times, (_, _, texts) in zip(seconds, ways, strict=True)
    ]
    for (way, *_), rate in zip(ways, rates, strict=True):
        print(f"{name:34}{way:38}{rate:>9,.0f}{rate / rates[0]:>8.2f}", flush=True)
        name = ""


def check_same(said: Sequence[Said]) -> None:
    fewest = min(map(len, said))
    for other in said[1:]:
        if isinstance(other, list):
            assert other[:fewest] == list(said[0][:fewest]), "completions differ"
        else:
            np.testing.assert_allclose(other[:fewest], said[0][:fewest], atol=1e-4)


@functools.cache
def _tokenizer() -> Path:
    folder = Path(mkdtemp())
    texts = [*itertools.islice(_task().games.documents(), 3000), *_views()]
    train_tokenizer(Tokenizer("word"), texts).save_pretrained(folder)
    return folder


def network(shape: SmallLlama, context: int) -> Net:
    return fresh(shape, _tokenizer(), context, seed=0).eval()


@functools.cache
def _task() -> MateInOne:
    return MateInOne("mate_in_one", Games(0), Completion(4), pool=1900)


def _views() -> list[str]:
    return [example.views[0] for example in _task().examples()]


def lab_puzzles() -> Ids:
    """As many as a finetuning answers in one evaluation."""
    return token_ids(network(LAB["nano"], 48).tokenizer, _views())


if __name__ == "__main__":
    main()
