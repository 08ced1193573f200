"""How much stages compute, from their fields alone: 2 FLOPs a parameter for each token that a model
reads, and 6 for each that it is trained on. Attention over long texts comes on top, and is left
out.

Kaplan et al. 2020, arXiv 2001.08361, section 2.1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from w2sweep.engine.stage import Stage
from w2sweep.experiment.backbone import Backbone
from w2sweep.experiment.best_of import Candidates, Scored
from w2sweep.experiment.prompting import Prompted
from w2sweep.experiment.recipe import Recipe
from w2sweep.experiment.splits import Answered, Splits, answered
from w2sweep.experiment.splitting import Sizes
from w2sweep.experiment.stages import Adapt, Features, Finetune, SplitTexts
from w2sweep.experiment.tuning import Lora
from w2sweep.experiment.weights import Applied, Weights
from w2sweep.tasks.heads import Head, Reward

READ, TRAINED, ADAPTED = 2, 6, 4
"""FLOPs a parameter and token: of a forward pass; of one with its backward pass; and of both where
the weights are frozen, so that the gradient only passes through them to the adapters."""
AGAIN = 2
"""Of activations that are computed again in the backward pass."""
EVALUATED = ("validation", "test")
"""The splits that are answered at every evaluation."""


@dataclass(frozen=True)
class Texts:
    """What is known of the texts of some splits before anything runs."""

    examples: Mapping[str, int]
    """By split."""
    tokens: float | None = None
    """Of a text, on average; None: nobody has counted them."""
    rows: Mapping[str, int] = field(default_factory=dict)
    """Name of a stage that chooses examples -> how many it chose, where that is known."""


Known = Callable[[Answered], Texts]
"""What is known of the texts that a stage reads."""


@dataclass(frozen=True)
class Work:
    """The floating-point operations of a stage."""

    flops: float
    bound: bool = False
    """Whether texts were taken to be as long as they may be, for nobody has counted them."""


NONE = Work(0.0)


def asked(splits: Answered) -> Texts:
    """What the configuration says of texts: how many examples are asked for."""
    return Texts(_sizes(splits).asked)


def work(stage: Stage[Any], known: Known = asked, again: bool = False) -> Work | None:
    """What a stage computes; None where nobody can say, for its model or its class is not known.

    Args:
        stage: of whatever class. Those that run no model compute next to nothing.
        known: what is known of the texts that it reads.
        again: whether activations are computed again in the backward pass.
    """
    if isinstance(stage, Weights):
        return work(stage.of, known, again)
    if isinstance(stage, Candidates | Scored):
        return _of_replies(stage)
    backbone = _backbone(stage)
    if backbone is None:
        return None if stage.size else NONE
    if isinstance(stage, Finetune) and stage.features:
        return NONE  # a head alone
    if not backbone.parameters:
        return None
    texts, tokens = _tokens(stage, known)
    trained, read = tokens
    a_token = (ADAPTED if _frozen(stage) else TRAINED) + AGAIN * again
    return Work(backbone.parameters * (a_token * trained + READ * read), texts.tokens is None)


def _of_replies(stage: Candidates | Scored) -> Work:
    """What writes replies reads all of the text again for each word; questions are taken to be as
    long as they may be."""
    candidates = stage.candidates if isinstance(stage, Scored) else stage
    if isinstance(stage, Scored):
        passes, longest = 1, _longest(stage.of.of)
    elif stage.writer:
        passes, longest = stage.task.reply_words, stage.writer.text.tokenizer.context
    else:
        return NONE
    texts = candidates.questions * candidates.replies
    return Work(float(READ * stage.size * texts * passes * longest), bound=True)


def steps(stage: Stage[Any], known: Known = asked) -> int:
    """The optimizer steps of a stage; those that train nothing have none.

    Args:
        stage: of whatever class.
        known: what is known of the texts that it reads.
    """
    if isinstance(stage, Finetune):
        there = _examples(stage, known(stage.splits))
        recipe = stage.recipe.for_examples(int(there))
        return recipe.epochs * _batches(recipe, there)
    if isinstance(stage, Adapt):
        length = _length(stage, known)
        return stage.recipe.steps(length, stage.text.tokenizer.context)
    return 0


def _backbone(stage: Stage[Any]) -> Backbone | None:
    if isinstance(stage, Applied):
        return stage.of.of.backbone
    if isinstance(stage, Adapt | Features | Finetune | Prompted):
        return stage.backbone
    return None


def _frozen(stage: Stage[Any]) -> bool:
    return isinstance(stage, Finetune) and isinstance(stage.tuning, Lora)


def _tokens(stage: Stage[Any], known: Known) -> tuple[Texts, tuple[float, float]]:
    """What is known of the texts that a stage reads; on how many tokens it trains, and how many it
    only reads."""
    if isinstance(stage, Adapt):
        return _of_adapt(stage, known)
    assert isinstance(stage, Applied | Features | Finetune | Prompted)
    texts, longest = known(stage.splits), _longest(stage)
    examples, shown = texts.examples, 1
    predicted = sum(examples.get(name, 0) for name in answered(examples))
    trained = 0.0
    if isinstance(stage, Applied):
        predicted = examples["test"]
    if isinstance(stage, Features):
        predicted = sum(examples.values())
    if isinstance(stage, Prompted):
        shown += stage.shots
    if isinstance(stage, Finetune):
        trained, predicted = _of_finetune(stage, texts)
    each = _views(stage) * (texts.tokens or longest)
    return texts, (trained * each, predicted * shown * each)


def _examples(stage: Finetune, texts: Texts) -> float:
    """How many examples it trains on."""
    there = float(texts.examples[stage.on])
    if stage.rows is None:
        return there
    if stage.rows.name in texts.rows:
        return float(texts.rows[stage.rows.name])
    return there * stage.rows.part


def _batches(recipe: Recipe, there: float) -> int:
    """Steps of one pass over so many examples."""
    return max(1, int(there) // recipe.batch_size)


def _of_finetune(stage: Finetune, texts: Texts) -> tuple[float, int]:
    """How many examples it trains on, each as often as it does, and how many it answers. Those of
    the evaluation that is kept are not answered again. The split that it trains on counts in any
    case, though a small model answers it only where somebody reads that: a tenth of the work."""
    examples, there = texts.examples, _examples(stage, texts)
    recipe = stage.recipe.for_examples(int(there))
    trained = recipe.epochs * _batches(recipe, there) * min(recipe.batch_size, there)
    looked_at = recipe.evaluations * sum(examples[name] for name in EVALUATED)
    others = [n for name, n in examples.items() if name not in ("supervisor", *EVALUATED)]
    return trained, looked_at + sum(others)


def _of_adapt(stage: Adapt, known: Known) -> tuple[Texts, tuple[float, float]]:
    corpus, context = stage.text.corpus, stage.text.tokenizer.context
    of_a_split = isinstance(corpus, SplitTexts)
    texts = known(corpus.splits) if of_a_split else Texts({}, tokens=context)
    return texts, (float(steps(stage, known) * stage.recipe.batch * context), 0.0)


def _length(stage: Adapt, known: Known) -> int:
    """Tokens of the examples that it reads; 0 of a corpus, which it reads by the token."""
    corpus, context = stage.text.corpus, stage.text.tokenizer.context
    if not isinstance(corpus, SplitTexts):
        return 0
    texts = known(corpus.splits)
    return int(texts.examples[corpus.of] * (texts.tokens or context))


def _longest(stage: Applied | Features | Finetune | Prompted) -> int:
    """The tokens that a text may have."""
    of = stage.of.of if isinstance(stage, Applied) else stage
    limit = of.recipe.max_tokens if isinstance(of, Finetune) else of.max_tokens
    init = of.init.of.init if isinstance(of.init, Weights) else of.init
    return min(limit, init.text.tokenizer.context) if isinstance(init, Adapt) else limit


def _views(stage: Applied | Features | Finetune | Prompted) -> int:
    """Texts an example."""
    head: Head = stage.of.of.head if isinstance(stage, Applied) else stage.head
    return 2 if isinstance(head, Reward) else 1


def _sizes(splits: Answered) -> Sizes:
    found = splits
    while not isinstance(found, Splits):
        [found] = [stage for stage in found.inputs if isinstance(stage, Answered)]
    return found.sizes
