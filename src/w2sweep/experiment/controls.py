"""Controls, without which a method's gain means little: a student of its own kind, another start,
an average of weights. None of them reads a true label that the supervisor has not read."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from w2sweep.experiment.kinds import Labels
from w2sweep.experiment.losses import Loss
from w2sweep.experiment.methods import Method
from w2sweep.experiment.recipe import Recipe
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.stages import Finetune
from w2sweep.experiment.tuning import LinearProbe
from w2sweep.experiment.weights import Weights
from w2sweep.values import Count, Impossible, Rate, value


@value
class SelfTaught(Method):
    """Strong to strong: the naive student labels its examples anew for a fresh model of its own
    rung, which does so for the next one, `rounds` times. q_0 is the supervisor's, q_k the answers
    of a model trained on q_(k-1).

    Born-again networks, Furlanello et al. 2018; on weak labels EleutherAI 2024, which saw no
    consistent gain. What a method with several students gains over this is due to more than being
    taught twice. Beside it `weak_again`: the weak rung finetuned on its own labels of the student's
    half, so that a gain over the supervisor that needs no stronger model shows.
    """

    name: str
    loss: Loss
    rounds: Count = 1

    def student(self, s: Setting) -> Finetune:
        student = s.finetune(s.strong, labels=s.supervisor, loss=self.loss)
        for _ in range(self.rounds):
            student = s.finetune(s.strong, labels=student, loss=self.loss)
        return student

    def compared(self, s: Setting) -> dict[str, Labels]:
        """The weak rung as its own student."""
        return {"weak_again": s.finetune(s.weak, labels=s.supervisor, loss=self.loss)}


@value
class ProbeFirst(Method):
    """LP-FT: a linear probe learns the weak labels on the frozen model, and full finetuning begins
    with its head, so that features are not bent by one that knows nothing.

    Kumar et al. 2022, arXiv 2202.10054. Burns et al. 2023, appendix B, saw no gain. Public code
    often gives the second phase the rate of a new head, which undoes the first: here head and
    backbone have one rate (`head_lr`).
    """

    name: str
    loss: Loss
    tuning: LinearProbe
    probe: Recipe
    """How the probe is trained."""
    head_lr: Rate = 1.0
    """Of the second phase."""

    def student(self, s: Setting) -> Finetune:
        s.check_classes("a linear probe chooses between classes")
        if isinstance(s.tuning, LinearProbe):
            raise Impossible(
                "lp_ft finetunes the features behind a linear probe, but tuning=linear_probe "
                "leaves them as they are: use tuning=full or lora"
            )
        recipe = replace(s.recipe, head_lr=self.head_lr)
        begun = Weights(self._probe(s))
        return s.finetune(s.strong, labels=s.supervisor, loss=self.loss, init=begun, recipe=recipe)

    def compared(self, s: Setting) -> dict[str, Labels]:
        """What the probe alone says."""
        return {"probe": self._probe(s)}

    def _probe(self, s: Setting) -> Finetune:
        return s.finetune(
            s.strong, labels=s.supervisor, loss=self.loss, tuning=self.tuning, recipe=self.probe
        )


@value
class AveragedWeights(Method):
    """The naive student, whose answers are those of an exponential moving average of its weights:
    a_t = d a_(t-1) + (1 - d) w_t, with d = min(`decay`, (1 + t) / (10 + t)).

    Polyak and Juditsky 1992; Tarvainen and Valpola 2017. Burns et al. 2023, appendix B, saw no
    gain. Public code often leaves out the minimum: with some hundred steps the average is then for
    a good part the untrained model.
    """

    name: str
    loss: Loss
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.98

    def student(self, s: Setting) -> Finetune:
        recipe = replace(s.recipe, ema=self.decay)
        return s.finetune(s.strong, labels=s.supervisor, loss=self.loss, recipe=recipe)
