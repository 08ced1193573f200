"""Cells: the points of a sweep's grid."""

from __future__ import annotations

from functools import cache, cached_property
from importlib.util import find_spec
from typing import Any

from w2sweep.engine.stage import Stage
from w2sweep.experiment.best_of import BestOf, Scored
from w2sweep.experiment.kinds import Labels
from w2sweep.experiment.methods import Method
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.stages import Adapt, Finetune
from w2sweep.experiment.target import Target
from w2sweep.experiment.tuning import LinearProbe
from w2sweep.experiment.weights import Applied, Weights
from w2sweep.tasks.heads import Completion, Head
from w2sweep.values import ConfigError, Impossible, value


@value
class Cell:
    """A setting and a method. Raises Impossible where the two make no sense together."""

    setting: Setting
    method: Method
    evaluate_on: tuple[Target, ...] = ()
    """Other tasks that supervisor, student and ceiling answer too."""
    best_of: BestOf | None = None
    """Replies that they choose the best of, as reward models."""

    def __post_init__(self) -> None:
        s = self.setting
        for rung in (s.weak, s.strong):
            s.ladder.position(rung)
        self._check_classes()
        s.shift.check(s.task)
        _ = self.student  # the method may have something to say about the setting
        self._check_loss()
        self._check_batches()
        self._check_optimizers()
        if s.task.head.classes is None:
            self._check_generates()
        self._check_targets()
        _ = self.scored  # raises where they are no reward models

    @cached_property
    def student(self) -> Labels:
        """The stage whose answers are the student's."""
        return self.method.student(self.setting)

    @cached_property
    def compared(self) -> dict[str, Labels]:
        """The models that the cell compares, by role."""
        return self._always | self.method.compared(self.setting)

    @cached_property
    def _always(self) -> dict[str, Labels]:
        """The models that every cell compares, by role."""
        s = self.setting
        return {"supervisor": s.supervisor, "student": self.student, "ceiling": s.ceiling}

    @cached_property
    def elsewhere(self) -> dict[str, dict[str, Applied]]:
        """Name of another task -> role -> what that model answers to it. Raises Impossible where
        one of them is no finetuned model."""
        if not self.evaluate_on:
            return {}
        weights = self._weights("evaluate_on")
        found = {}
        for target in self.evaluate_on:
            splits = target.splits(self.setting.seed)
            found[target.task.name] = {role: Applied(of, splits) for role, of in weights.items()}
        return found

    @cached_property
    def scored(self) -> dict[str, Scored]:
        """Role -> what that model says of the replies to choose from. Raises Impossible where one
        of them is no reward model that was finetuned."""
        if self.best_of is None:
            return {}
        candidates = self.best_of.candidates(self.setting)
        weights = self._weights("best_of")
        return {role: Scored(of, candidates) for role, of in weights.items()}

    def _weights(self, key: str) -> dict[str, Weights]:
        """The finetuned models that every cell compares, by role, for what `key` asks for. Raises
        Impossible where one of them is none."""
        compared = self.compared  # a method may have a supervisor of its own
        models = {role: _model(key, role, compared[role]) for role in self._always}
        for role, model in models.items():
            if model.splits != self.setting.splits:
                raise Impossible(
                    f"{key}: the {role} reads {model.splits.what}, and of other texts there are "
                    f"none of that kind: use another method, or leave out {key}"
                )
        return {role: Weights(model) for role, model in models.items()}

    @cached_property
    def language_models(self) -> dict[str, Adapt]:
        """The language models whose losses the cell records, by name."""
        return self.method.language_models(self.setting)

    @cached_property
    def stages(self) -> list[Stage[Any]]:
        """All stages whose results make up the cell's."""
        applied = [stage for stages in self.elsewhere.values() for stage in stages.values()]
        scored = self.scored.values()
        return [*self.compared.values(), *applied, *scored, *self.language_models.values()]

    def _check_targets(self) -> None:
        """Raises Impossible where another task cannot be answered by the cell's models."""
        own, names = self.setting.task, [target.task.name for target in self.evaluate_on]
        if len(set(names)) < len(names):
            raise ConfigError(f"evaluate_on: found {names}, expected each task once")
        for target in self.evaluate_on:
            head = target.task.head
            if (type(head), head.classes) != (type(own.head), own.head.classes):
                raise Impossible(
                    f"evaluate_on: {target.task.name} is answered by {_kind(head)}, but the models "
                    f"of {own.name} have {_kind(own.head)}: name tasks of the same head"
                )
        _ = self.elsewhere  # is not there where a model was not finetuned

    def _check_classes(self) -> None:
        task, expected = self.setting.task, self.setting.task.label_classes
        if expected is not None and task.head.classes != expected:
            raise ConfigError(
                f"task.head.classes: found {task.head.classes}, but the labels of {task.name} are "
                f"of {expected} classes: set task.head.classes={expected}"
            )

    def _check_loss(self) -> None:
        """Raises Impossible where the task has no such labels as the loss needs."""
        loss, task = self.method.loss, self.setting.task
        name, classes = type(loss).__name__, task.head.classes
        found = f"has {classes} classes" if classes else "generates completions"
        if loss.binary and classes != 2:
            raise Impossible(
                f"{name} needs two classes, but task {task.name} {found}: use method=naive or "
                "bootstrap"
            )
        if loss.soft and classes is None:
            raise Impossible(
                f"{name} needs probabilities as labels, but task {task.name} {found}: use "
                "method=naive or bootstrap"
            )

    def _check_batches(self) -> None:
        trained = [model for model in self.compared.values() if isinstance(model, Finetune)]
        for model in trained:
            found, loss = model.recipe.batch_size, model.loss
            if found < loss.smallest_batch:
                own = model.recipe.batch_size != self.setting.recipe.batch_size
                key = "the batch_size of the method's own recipe" if own else "recipe.batch_size"
                raise Impossible(
                    f"{type(loss).__name__} compares the examples of a batch and needs at least "
                    f"{loss.smallest_batch}: raise {key}, which is {found}"
                )

    def _check_optimizers(self) -> None:
        """Raises ConfigError where a model is to be trained by what is not installed."""
        trained = [model for model in self.compared.values() if isinstance(model, Finetune)]
        if any(model.recipe.optimizer == "adamw_8bit" for model in trained) and not _has_8bit():
            raise ConfigError(
                "recipe.optimizer: found adamw_8bit, which bitsandbytes makes, and that is not "
                "installed: pip install 'w2sweep[8bit]', or use recipe.optimizer=adafactor"
            )

    def _check_generates(self) -> None:
        generates = f"but task {self.setting.task.name} generates completions"
        if isinstance(self.setting.tuning, LinearProbe):
            raise Impossible(
                f"a linear probe chooses between classes, {generates}: use tuning=full or lora"
            )
        if isinstance(self.setting.task.head, Completion):
            self._check_room(self.setting.task.head.max_new_tokens)

    def _check_room(self, new: int) -> None:
        """Raises ConfigError where no token of a prompt has room before a completion and its end,
        as far as that is known before a model is there."""
        s, longest, needed = self.setting, self.setting.recipe.max_tokens, new + 2
        if s.ladder.tokenizer:  # one of our own marks where a text begins
            longest, needed = min(longest, s.ladder.tokenizer.context), needed + 1
        if needed > longest:
            raise ConfigError(
                f"max_new_tokens={new} leaves no room for a prompt in the {longest} tokens that "
                "the models read (recipe.max_tokens, ladder.tokenizer.context): lower "
                "task.head.max_new_tokens (of a file of your own: task.max_new_tokens)"
            )


@cache
def _has_8bit() -> bool:
    return find_spec("bitsandbytes") is not None


def _model(key: str, role: str, of: Labels) -> Finetune:
    """A role's model, which `key` asks for. Raises Impossible where it is none that was
    finetuned."""
    if not isinstance(of, Finetune):
        raise Impossible(
            f"{key} needs models that were finetuned, but the {role} is {of.what}: use "
            f"supervision=weak and a method that finetunes, or leave out {key}"
        )
    return of


def _kind(head: Head) -> str:
    classes = f" of {head.classes} classes" if head.classes else ""
    return f"a {type(head).__name__}{classes}"
