"""Whole finetuning stages of GPT-2-shaped models against the machine's matmul rate, and against the
loop that anybody would write in PyTorch, side by side in one run of about four minutes.

    python benchmarks/stage_rate.py

The share is of work that is delivered, counted as is common: 6 operations a parameter and trained
token, 2 a predicted one. A stage does less than that. Of the last layer of a classifier it computes
keys and values of all tokens, and all else for the last token of each text alone: of five layers
that spares a sixth of the matmuls, of eight a tenth. The loops do all of it.

Where the processor gains from bf16 (`gains_from_bf16`), a stage with `recipe.precision=bf16-mixed`
is measured too, against matmuls in bf16.

On one of two idle cores of an AMD EPYC with AVX2 only, torch 2.13.0:

           documents  GFLOP/s  stage, s   stage    loop  by length
    0.2M       1,000       77       3.3    0.47    0.08       0.13
    1M           512       75       6.0    0.71    0.12       0.20
    3.5M         224       77       8.8    0.71    0.17       0.33
    10M           96       78       6.6    1.00    0.23       0.43

With Transformers' layers stages had reached .32, .52, .60 and .71 to .76, beside other programs.

On one of two cores of an AMD EPYC with AVX512 and bf16, which other programs shared:

           documents  GFLOP/s  stage, s   stage    loop  by length    in bf16: GFLOP/s      s  stage
    0.2M       1,000       87       3.5    0.40    0.08       0.13                 210    3.3   0.17
    1M           512       85       5.2    0.73    0.11       0.20                 200    4.3   0.38
    3.5M         224       81       7.0    0.84    0.17       0.29                 202    5.0   0.47
    10M           96       95       5.4    0.99    0.21       0.43                 210    3.7   0.65

In bf16, with Transformers' layers, stages of half as many documents had taken 1.20, 1.35, 1.30 and
1.37 times as long as with those written out, and .90, 1.26, 1.32 and 1.40 times as long in fp32
(three rounds in turn, medians, CPU seconds).
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn
from transformers import (
    AutoModel,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerBase,
)
from transformers import logging as transformers_logging

from w2sweep.engine.devices import gains_from_bf16
from w2sweep.engine.job import Circumstances
from w2sweep.engine.runtime import Runtime
from w2sweep.engine.store import Store
from w2sweep.experiment.backbone import HubModel, Tokenizer
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.recipe import Precision, Recipe
from w2sweep.experiment.splits import Splits
from w2sweep.experiment.splitting import Sizes
from w2sweep.experiment.stages import Finetune
from w2sweep.experiment.tuning import Full
from w2sweep.learning.hardware import keep_freed_memory
from w2sweep.learning.tokens import train_tokenizer
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Choice
from w2sweep.tasks.task import Task, TaskTexts

VOCABULARY, CONTEXT = 4096, 256
BATCH, EPOCHS, EVALUATIONS = 32, 2, 3
LR = 1e-4
Texts = dict[str, list[Example]]


@dataclass(frozen=True)
class Size:
    """A model, and how many documents it is finetuned on: the larger, the fewer."""

    width: int
    depth: int
    documents: int

    @property
    def parameters(self) -> int:
        """Of its matrices, without embeddings: N."""
        return 12 * self.depth * self.width**2


SIZES = {
    "0.2M": Size(64, 4, 1000),
    "1M": Size(128, 5, 512),
    "3.5M": Size(192, 8, 224),
    "10M": Size(320, 8, 96),
}


@dataclass(frozen=True)
class Documents(Task):
    """Made-up documents, about as long as short reviews: 4 to 256 tokens, a word each, half of them
    over 32."""

    family: ClassVar = "nlp"

    count: int
    head: Choice
    name: str = "documents"

    def examples(self) -> Iterator[Example]:
        rng = random.Random(0)
        for i in range(self.count):
            tokens = min(CONTEXT, max(4, int(rng.lognormvariate(3.47, 0.6))))
            words = [f"w{rng.randrange(VOCABULARY - 3)}" for _ in range(tokens - 1)]
            yield Example(id=str(i), group=str(i), views=(" ".join(words),), label=i % 2)

    @property
    def corpus(self) -> TaskTexts:
        return TaskTexts(self)


def made(size: Size, folder: Path) -> Path:
    """A model folder with random weights."""
    words = " ".join(f"w{i}" for i in range(VOCABULARY - 3))
    tokenizer = train_tokenizer(Tokenizer("word"), [words])
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=CONTEXT,
        n_embd=size.width,
        n_layer=size.depth,
        n_head=size.width // 32,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(0)
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def stage_of(size: Size, model: Path, precision: Precision = "32-true") -> Finetune:
    n = size.documents
    task = Documents(2 * n, Choice(init="zero"))
    sizes = Sizes(supervisor=BATCH, student=n, validation=n // 4, test=n // 2)
    recipe = Recipe(epochs=EPOCHS, batch_size=BATCH, evaluations=EVALUATIONS, precision=precision)
    return Finetune(
        backbone=HubModel(str(model), parameters=size.parameters),
        init=None,
        splits=Splits(task, sizes, seed=0),
        on="student",
        labels=None,
        head=task.head,
        tuning=Full(),
        loss=CrossEntropy(),
        recipe=recipe,
        lr=LR,
        seed=0,
    )


def by_stage(stage: Finetune, store: Store) -> float:
    """CPU seconds of a stage in a store, from its lease to its record. It is thrown away."""
    started = time.process_time()
    store.ensure(stage)
    seconds = time.process_time() - started
    shutil.rmtree(store.path(stage))
    return seconds


def by_loop(
    model: Path,
    texts: Texts,
    asked: Sequence[str] = ("validation", "test"),
    evaluations: int = EVALUATIONS,
    by_length: bool = False,
) -> float:
    """CPU seconds of a plain loop that does the same, from loading the model to the last answer.

    `asked`: the splits that are answered at each of the evaluations.
    """
    started = time.process_time()
    tokenizer = AutoTokenizer.from_pretrained(model)
    net = Plain(model)
    ids = {name: tokenizer([e.views[0] for e in its])["input_ids"] for name, its in texts.items()}
    optimizer = torch.optim.AdamW(net.parameters(), lr=LR)
    batches = [b for _ in range(EPOCHS) for b in plain_batches(ids["student"], by_length)]
    due = {len(batches) * k // evaluations for k in range(1, evaluations + 1)}
    for step, rows in enumerate(batches, 1):
        net.train()
        labels = torch.tensor([int(texts["student"][row].label) for row in rows])
        loss = nn.functional.cross_entropy(net(tokenizer, _at(ids["student"], rows)), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        if step in due:
            answer(net, tokenizer, [ids[name] for name in asked])
    return time.process_time() - started


class Plain(nn.Module):
    """A body and a linear head on the last token of each text."""

    def __init__(self, model: Path):
        super().__init__()
        self.body = AutoModel.from_pretrained(model)
        self.head = nn.Linear(self.body.config.n_embd, 2)

    def forward(self, tokenizer: PreTrainedTokenizerBase, ids: Sequence[list[int]]) -> torch.Tensor:
        batch = tokenizer.pad({"input_ids": list(ids)}, return_tensors="pt")
        states = self.body(**batch).last_hidden_state
        last = batch["attention_mask"].sum(-1) - 1
        return self.head(states[torch.arange(len(last)), last])


@torch.no_grad()
def answer(net: Plain, tokenizer: PreTrainedTokenizerBase, splits: Sequence[list]) -> None:
    net.eval()
    for ids in splits:
        for start in range(0, len(ids), BATCH):
            net(tokenizer, ids[start : start + BATCH]).softmax(-1)


def plain_batches(ids: list[list[int]], by_length: bool) -> Iterator[list[int]]:
    """Rows of whole batches, drawn at random; `by_length`: as stages do, out of eight batches that
    are sorted together."""
    order = random.sample(range(len(ids)), len(ids))
    if by_length:
        pools = [order[i : i + 8 * BATCH] for i in range(0, len(order), 8 * BATCH)]
        order = [row for pool in pools for row in sorted(pool, key=lambda row: len(ids[row]))]
    for start in range(0, len(order) - BATCH + 1, BATCH):
        yield order[start : start + BATCH]


def _at(ids: list[list[int]], rows: Sequence[int]) -> list[list[int]]:
    return [ids[row] for row in rows]


def matmul_rate(dtype: torch.dtype, n: int = 1024, seconds: float = 0.5) -> float:
    """Floating-point operations a second of a product of two square matrices."""
    a, b = torch.rand(2, n, n).to(dtype)
    started, done = time.process_time(), 0
    while time.process_time() - started < seconds:
        a @ b
        done += 1
    return done * 2 * n**3 / (time.process_time() - started)


def needed(size: Size, texts: Texts, answered: Sequence[str]) -> float:
    """Floating-point operations of a stage, as they are commonly counted: 6N for each token that is
    trained on and 2N for each that is only read. Padding is none of them, nor is attention.

    `answered`: the splits that the stage answers at its end; validation and test split it answers
    at each of its evaluations, the last of which is its end.
    """
    tokens = {name: sum(_tokens(e) for e in its) for name, its in texts.items()}
    in_batches = len(texts["student"]) // BATCH * BATCH / len(texts["student"])
    trained = EPOCHS * tokens["student"] * in_batches
    read = EVALUATIONS * (tokens["validation"] + tokens["test"])
    read += sum(tokens[name] for name in answered if name not in ("validation", "test"))
    return size.parameters * (6 * trained + 2 * read)


def _tokens(e: Example) -> int:
    """Of its text, with the one that begins it."""
    return 1 + len(e.views[0].split())


def measured(size: Size, rounds: int, folder: Path, bf16: bool) -> dict[str, float]:
    """Medians over the rounds: FLOP/s of matmuls, and what stages and two loops reach of them.
    `bf16`: whether a stage is run in it too."""
    circumstances = Circumstances(Runtime(accelerator="cpu", checkpoint_seconds=1e9))
    store, model = Store(folder / "store", circumstances), made(size, folder / "model")
    stage, low = stage_of(size, model), stage_of(size, model, "bf16-mixed")
    store.ensure(stage, low)  # warms up, and says what it answers
    texts, answered = store.get(stage.splits), list(Predictions.load(store.path(stage)).answers)
    for its in (stage, low):
        shutil.rmtree(store.path(its))
    delivered, plain = needed(size, texts, answered), needed(size, texts, ())
    ways: dict[str, tuple[float, torch.dtype, Callable[[], float]]] = {
        "stage": (delivered, torch.float32, lambda: by_stage(stage, store)),
        "loop": (plain, torch.float32, lambda: by_loop(model, texts)),
        "by length": (plain, torch.float32, lambda: by_loop(model, texts, by_length=True)),
    }
    if bf16:
        ways["in bf16"] = (delivered, torch.bfloat16, lambda: by_stage(low, store))
    seen: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for name, (flops, dtype, run) in ways.items():
            before = matmul_rate(dtype)
            seconds = run()
            rate = (before + matmul_rate(dtype)) / 2
            seen[f"{name}, s"].append(seconds)
            seen[f"{name}, rate"].append(rate / 1e9)
            seen[name].append(flops / seconds / rate)
    return {name: statistics.median(values) for name, values in seen.items()}


def settle() -> None:
    """One thread, and few words."""
    torch.set_num_threads(1)
    keep_freed_memory()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--documents", type=int, help="the same number for all sizes")
    options = parser.parse_args()
    settle()
    bf16 = gains_from_bf16("cpu")
    columns = ["stage, rate", "stage, s", "stage", "loop", "by length"]
    columns += ["in bf16, rate", "in bf16, s", "in bf16"] if bf16 else []
    print(f"{'':6}{'documents':>10}", *(f"{name:>14}" for name in columns))
    for name in options.sizes:
        size = SIZES[name]
        size = Size(size.width, size.depth, options.documents or size.documents)
        folder = Path(tempfile.mkdtemp())
        found = measured(size, options.rounds, folder, bf16)
        shutil.rmtree(folder)
        told = (f"{found[column]:>14.{1 if ',' in column else 2}f}" for column in columns)
        print(f"{name:6}{size.documents:>10,}", *told, flush=True)


if __name__ == "__main__":
    main()
