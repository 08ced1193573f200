"""Linear probes beside the naive student: what can be read off a model's features."""

from __future__ import annotations

from functools import partial

from w2sweep.experiment.kinds import Labels
from w2sweep.experiment.losses import Loss
from w2sweep.experiment.methods import Method
from w2sweep.experiment.recipe import Recipe
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.stages import Finetune
from w2sweep.experiment.tuning import LinearProbe
from w2sweep.experiment.weights import Weights
from w2sweep.values import Impossible, value


@value
class Saliency(Method):
    """The naive student, and linear probes: of the model as it was pretrained, for weak and for
    true labels, and of the naive student, for true labels. The last says whether finetuning on weak
    labels makes the truth easier to read off the features. Burns et al. 2023, section 5.2.3 and
    appendix D.2."""

    name: str
    loss: Loss
    """Of the finetuned student, and of the probe for weak labels."""
    tuning: LinearProbe
    probe: Recipe
    """How probes are trained."""

    def student(self, s: Setting) -> Finetune:
        s.check_classes("a linear probe chooses between classes")
        if isinstance(s.tuning, LinearProbe):
            raise Impossible(
                "saliency holds probes against a student whose features were finetuned, but "
                "tuning=linear_probe leaves them as they are: use tuning=full or lora"
            )
        return s.finetune(s.strong, labels=s.supervisor, loss=self.loss)

    def compared(self, s: Setting) -> dict[str, Labels]:
        probe = partial(s.finetune, s.strong, tuning=self.tuning, recipe=self.probe)
        return {
            "lp_weak": probe(labels=s.supervisor, loss=self.loss),
            "lp_truth": probe(),
            "ft_weak_lp_truth": probe(init=Weights(self.student(s))),
        }
