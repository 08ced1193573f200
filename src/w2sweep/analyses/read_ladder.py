"""A ladder that has read a world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from w2sweep.analyses.knowledge import UNTRAINED, Bin, Question, questions
from w2sweep.engine.stage import Stage
from w2sweep.engine.store import Store
from w2sweep.experiment.ladder import Rung
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.stages import Adapt
from w2sweep.lab.text.world import World
from w2sweep.tasks.task import Corpus
from w2sweep.values import ConfigError


@dataclass(frozen=True)
class ReadLadder:
    """The rungs of one seed, pretrained, and what is asked of them."""

    setting: Setting
    corpus: Corpus
    pretrained: dict[str, Adapt]
    """Rung -> the stage that pretrains it, weakest first."""
    questions: Sequence[Question]
    """About words; none where the corpus is no world of the lab."""

    @staticmethod
    def of(setting: Setting) -> ReadLadder:
        """The setting's ladder. Raises ConfigError where some rung is not pretrained here."""
        ladder = setting.ladder
        corpus = ladder.reads(setting.task.corpus)
        stages = {name: setting.pretrained(name) for name in ladder.rungs}
        pretrained = {name: stage for name, stage in stages.items() if stage is not None}
        if len(pretrained) < len(stages):
            raise ConfigError(
                f"ladder {ladder.name} has rungs that are not pretrained here: use lab or homegrown"
            )
        asked = questions(corpus) if isinstance(corpus, World) else []
        return ReadLadder(setting, corpus, pretrained, asked)

    @property
    def rungs(self) -> dict[str, Rung]:
        """Weakest first."""
        return self.setting.ladder.rungs

    @property
    def asked(self) -> list[tuple[Question, str]]:
        """Each question with each rung that it is put to."""
        return [(q, rung) for q in self.questions for rung in (*self.pretrained, UNTRAINED)]

    @property
    def probed(self) -> list[Stage]:
        """The stages whose hidden states are probed."""
        return [question.probed(self.setting, rung) for question, rung in self.asked]

    def bins(self, store: Store) -> list[Bin]:
        """What each rung knows."""
        answers = [question.answered(self.setting, rung, store) for question, rung in self.asked]
        return [b for answered in answers for b in answered]
