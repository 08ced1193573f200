"""Transfer: a pretrained model reads text of another kind, and so does one that was never
pretrained. What is the pretraining worth, in tokens of that text?"""

from __future__ import annotations

from dataclasses import replace

from w2sweep.experiment.backbone import Pretraining, Tokenizer
from w2sweep.experiment.ladder import HomegrownRung, Rung
from w2sweep.experiment.losses import Loss
from w2sweep.experiment.methods import Method
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.stages import Adapt, Finetune, OwnTokenizer, SplitTexts, Text
from w2sweep.lab.text.world import World
from w2sweep.tasks.task import Corpus, TaskTexts
from w2sweep.tasks.text_file import CorpusOrFile
from w2sweep.values import ConfigError, Impossible, Natural, Rate, value


@value
class Transfer(Method):
    """The strong model reads a target text before it is finetuned on the weak labels. Beside it
    stands the same rung that begins with random weights and reads as much of that text.

    Hernandez et al. 2021, arXiv 2102.01293. The losses of both on the target's held-out end are
    recorded, and those of the weak rung: from several values of `tokens`, the effective data
    transferred can be told (see `w2sweep.report.transfer`). Each number of tokens is a training run
    of its own, with its own schedule, as in the paper. Every token is read about once; the paper
    trains on as many until the held-out loss grows.
    """

    name: str
    loss: Loss
    target: CorpusOrFile = None
    """The text that is read after pretraining; None: the texts of the task's own examples."""
    tokens: Natural = 100_000
    """How many of the target's tokens are read."""
    lr_scale: Rate = 1.0
    """Learning rate of pretrained rungs on the target, as a multiple of the rate that they were
    pretrained with."""

    def __post_init__(self) -> None:
        if isinstance(self.target, World) and self.tokens > self.target.tokens:
            raise ConfigError(
                f"tokens: found {self.tokens:_}, but the target has {self.target.tokens:_}, of "
                "which each is read once: lower method.tokens, or raise method.target.tokens"
            )

    def student(self, s: Setting) -> Finetune:
        adapted = self.adapted(s, s.strong)
        return s.finetune(s.strong, labels=s.supervisor, loss=self.loss, init=adapted)

    def compared(self, s: Setting) -> dict[str, Finetune]:
        """Both models finetuned on the ground truth: `ceiling_adapted` was pretrained and has read
        the target, `ceiling_scratch` has read the target alone."""
        adapted, scratch = self.adapted(s, s.strong), self.scratch(s, s.strong)
        return {
            "ceiling_adapted": s.finetune(s.strong, on=s.ceiling_on, init=adapted),
            "ceiling_scratch": s.finetune(s.strong, on=s.ceiling_on, init=scratch),
        }

    def language_models(self, s: Setting) -> dict[str, Adapt]:
        """Those that are finetuned, and the same of the weak rung."""
        return {
            "ceiling_adapted": self.adapted(s, s.strong),
            "ceiling_scratch": self.scratch(s, s.strong),
            "weak_adapted": self.adapted(s, s.weak),
            "weak_scratch": self.scratch(s, s.weak),
        }

    def adapted(self, s: Setting, name: str) -> Adapt:
        """A pretrained rung that has read the target."""
        rung, before = s.ladder.rungs[name], s.pretrained(name)
        recipe = self._recipe(rung)
        recipe = replace(recipe, lr=recipe.lr * self.lr_scale)
        return Adapt(rung.backbone(name), before, self._text(s, name), recipe, s.seed)

    def scratch(self, s: Setting, name: str) -> Adapt:
        """A rung with random weights that has read the target."""
        rung = s.ladder.rungs[name]
        begun = rung.untrained().backbone(name)
        return Adapt(begun, None, self._text(s, name), self._recipe(rung), s.seed)

    def _recipe(self, rung: Rung) -> Pretraining:
        if isinstance(rung, HomegrownRung):
            return replace(rung.pretraining, tokens=self.tokens)
        return Pretraining(self.tokens, rung.lr)

    def _text(self, s: Setting, name: str) -> Text:
        """The target in the tokens of the pretrained rung."""
        target = TaskTexts(s.task) if self.target is None else self.target
        before, tokenizer = s.pretrained(name), s.ladder.tokenizer
        if before is None or tokenizer is None:
            model = s.ladder.rungs[name].backbone(name)
            return Text(target, OwnTokenizer(model, s.recipe.max_tokens))  # type: ignore[arg-type]
        if _has_the_same_words(target, before.text.corpus, tokenizer):
            return Text(target, tokenizer)
        return Text(target, OwnTokenizer(before, tokenizer.context))


def _has_the_same_words(target: Corpus, read: Corpus | SplitTexts, tokenizer: Tokenizer) -> bool:
    """Whether two texts of the lab have the same tokens, whatever is written in them: models that
    read the target alone are then shared by all that were pretrained on something else.

    Raises Impossible where they are of two worlds: all words of one are unknown in the other.
    """
    if not isinstance(target, World) or not isinstance(read, World) or tokenizer.kind != "word":
        return False
    if target.words_alone != read.words_alone:
        raise Impossible(
            "the target text is of another world than the text of pretraining, so that no word is "
            "known: give method.target the seed, adjectives and entities of task.world"
        )
    return True
