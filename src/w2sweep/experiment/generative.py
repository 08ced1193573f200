"""Generative finetuning: a model reads the texts of its split before it learns their labels."""

from __future__ import annotations

from w2sweep.experiment.backbone import Pretraining
from w2sweep.experiment.kinds import Labels
from w2sweep.experiment.losses import Loss
from w2sweep.experiment.methods import Method
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.stages import Adapt, Finetune, OwnTokenizer, SplitTexts, Text
from w2sweep.values import Count, Impossible, Rate, value


@value
class Reading:
    """How a model reads the texts of a split, as a language model."""

    epochs: Count
    """Passes over the texts."""
    lr_scale: Rate
    """Multiplies the rung's learning rate of finetuning."""
    batch: Count
    """Sequences a step."""


@value
class Generative(Method):
    """Generative finetuning: the student first reads all texts of its split as a language model,
    and knows what it is asked about before it is told what to answer. Burns et al. 2023, section
    5.2.2.

    No label is read in the first phase. Ceilings are compared with it and without.
    """

    name: str
    loss: Loss
    reading: Reading
    supervisor: bool = False
    """Whether the supervisor reads the texts of its own split first, too. Figure 18."""

    def student(self, s: Setting) -> Finetune:
        read = self._read(s, s.strong, "student")
        return s.finetune(s.strong, labels=self._supervisor(s), loss=self.loss, init=read)

    def compared(self, s: Setting) -> dict[str, Labels]:
        """The ceiling that has read as the student has; and the supervisor, where it is another
        than the setting's."""
        read = self._read(s, s.strong, "student")
        ceiling = s.finetune(s.strong, on=s.ceiling_on, init=read)
        models: dict[str, Labels] = {"ceiling_generative": ceiling}
        return {"supervisor": self._supervisor(s), **models} if self.supervisor else models

    def _supervisor(self, s: Setting) -> Labels:
        if not self.supervisor:
            return s.supervisor
        if s.supervisor != s.weak_model:
            raise Impossible(
                "with method.supervisor=true the weak rung reads before it labels, but the "
                "supervision is not its own answers alone: use supervision=weak without noise"
            )
        read = self._read(s, s.weak, "supervisor")
        return s.finetune(s.weak, on="supervisor", init=read)

    def _read(self, s: Setting, rung: str, split: str) -> Adapt:
        """The rung after its first phase."""
        name, its = s.rung(rung)
        before, backbone = s.pretrained(rung), its.backbone(name)
        longest = s.recipe.max_tokens
        if s.ladder.tokenizer:
            longest = min(longest, s.ladder.tokenizer.context)
        tokenizer = OwnTokenizer(before or backbone, longest)  # type: ignore[arg-type]
        precision = s.recipe.precision
        if precision == "bf16-true":
            raise Impossible(
                "recipe.precision=bf16-true: a model that reads texts before it is finetuned keeps "
                "its weights in fp32: use bf16-mixed, or another method"
            )
        recipe = Pretraining(
            tokens=0,
            epochs=self.reading.epochs,
            lr=its.lr * self.reading.lr_scale,
            batch=self.reading.batch,
            precision=precision,
        )
        return Adapt(backbone, before, Text(SplitTexts(s.splits, split), tokenizer), recipe, s.seed)
