"""How stages train. Everything here changes results, so everything here is in their identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from w2sweep.values import ConfigError, Count, Fraction, Natural, Rate, value

Momentum = Annotated[float, Field(ge=0, lt=1)]
Precision = Literal["32-true", "bf16-mixed"]
WeightPrecision = Literal["32-true", "bf16-mixed", "bf16-true"]
"""`bf16-true`: the weights too are in bf16, and rounded at random after each step, so that small
updates are not lost on average."""
OptimizerName = Literal["adamw", "adafactor", "adamw_8bit"]
BETAS = (0.9, 0.98)
"""What AdamW forgets of the mean of gradients and of that of their squares, where nobody says."""
Criterion = Literal["own_labels", "truth"]
"""By what the best evaluation is chosen: by the accuracy on the validation split, against the
stage's own labels, or against the ground truth. The latter is an oracle: a student does not have
it."""


def _by_name(given: Any) -> Any:
    """What is given, unless it is a truth value. Raises ConfigError that says what to write."""
    if isinstance(given, bool):
        found, instead = str(given).lower(), "own_labels" if given else "none"
        raise ConfigError(
            f"early_stop: found {found}, expected none, own_labels or truth: what was {found} is "
            f"early_stop={instead}"
        )
    return given


EarlyStop = Annotated[Literal["none", Criterion], BeforeValidator(_by_name)]


SMALLEST_BATCH = 8
"""Examples of a step, below which no batch is made smaller for the sake of more steps."""


@value
class Recipe:
    """Finetuning. The paper (appendix A) states epochs, batch size and early stopping; the rest is
    ours."""

    epochs: Count
    batch_size: Count
    """Examples an optimizer step."""
    lr_scale: Rate = 1.0
    """Multiplies the rung's learning rate."""
    head_lr: Rate = 1.0
    """Learning rate of a new head, as a multiple of the backbone's."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup: Fraction = 0.1
    """Fraction of the steps over which the learning rate grows from 0."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    betas: tuple[Momentum, Momentum] = BETAS
    clip: Rate = 1.0
    """Largest norm of the gradient."""
    max_tokens: Count = 512
    """Longer texts lose their beginning, as do texts longer than what the model was made for."""
    length_pool: Count = 8
    """Batches whose examples are sorted by length together, to spare padding; 1: batches are drawn
    at random."""
    precision: WeightPrecision = "32-true"
    evaluations: Count = 4
    """How often validation and test split are predicted while training, the end included."""
    early_stop: EarlyStop = "none"
    """Which evaluation is kept. `none`: the last step. `own_labels`: the one with the best accuracy
    against the stage's own labels on the validation split (the paper's way with NLP tasks).
    `truth`: the one with the best against the ground truth, an oracle."""
    optimizer: OptimizerName = "adamw"
    """What it keeps of each parameter. `adamw`: two numbers in fp32, 8 bytes. `adamw_8bit`: two of
    8 bits, by torchao. `adafactor`: a number for each row and column (Shazeer and Stern 2018)."""
    ema: Momentum = 0.0
    """Weights are averaged over the steps, and it is the average that answers: after step t it is
    d times what it was and 1 - d times the weights, where d = min(`ema`, (1 + t) / (10 + t)), so
    that the first weights are soon forgotten. 0: nothing is averaged."""
    fewest_steps: Natural = 0
    """Optimizer steps that there are at least, however few the examples: batches get smaller, down
    to SMALLEST_BATCH examples, and then epochs more. Few steps of large batches leave a pretrained
    model almost where it was (Mosbach et al. 2021, arXiv 2006.04884; Zhang et al. 2021, arXiv
    2006.05987)."""

    added: ClassVar[frozenset[str]] = frozenset({"optimizer", "ema", "fewest_steps"})
    formerly: ClassVar[Mapping[str, Mapping[str, bool]]] = {
        "early_stop": {"none": False, "own_labels": True}
    }

    def __post_init__(self) -> None:
        if self.optimizer == "adafactor" and self.betas != BETAS:
            raise ConfigError(
                f"betas: found {list(self.betas)}, but adafactor keeps no mean of gradients and "
                f"forgets their squares by a rule of its own: leave betas={list(BETAS)}, or use "
                "recipe.optimizer=adamw"
            )

    def for_examples(self, n: int) -> Recipe:
        """The recipe with the batch size and the epochs that `n` examples get, so that there are
        `fewest_steps`: of 800 examples, 2 epochs and 200 steps, batches of 8.

        Where there are enough steps anyway it is the recipe itself.
        """
        if self.epochs * max(1, n // self.batch_size) >= self.fewest_steps:
            return self
        wanted = max(SMALLEST_BATCH, self.epochs * n // self.fewest_steps)
        batch = min(self.batch_size, wanted)
        per_epoch = max(1, n // batch)
        epochs = max(self.epochs, -(-self.fewest_steps // per_epoch))
        return replace(self, batch_size=batch, epochs=epochs, fewest_steps=0)
