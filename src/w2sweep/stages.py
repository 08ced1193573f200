"""What is computed and what it depends on. Supervisor, ceiling, student and every bootstrapping step are one type of
stage, `Finetune`: its field `labels` is the stage whose predictions label its data, most often another `Finetune`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from w2sweep.identity import Stage
from w2sweep.ladder import Backbone, Homegrown, Tokenizer
from w2sweep.losses import Loss
from w2sweep.predictions import Predictions
from w2sweep.recipe import Recipe
from w2sweep.store import Store
from w2sweep.tasks import Corpus, Example, Task
from w2sweep.tuning import LinearProbe, Tuning
from w2sweep.values import value

if TYPE_CHECKING:
    from numpy.typing import NDArray

Count = Annotated[int, Field(gt=0)]


@value
class Sizes:
    """Examples asked for in each split; the manifest of `Splits` says what was there."""

    supervisor: Count
    """Labelled by the ground truth, for the supervisor."""
    student: Count
    """Labelled by the supervisor, for the student; the ceiling trains on the same examples."""
    validation: Count
    test: Count
    student_sets: Count = 1
    """Disjoint sets of student examples, for methods that take a fresh one at each step."""
    max_chars: Count = 10_000
    """Longer examples are left out, here and on text, so that every model sees the same examples."""

    @property
    def asked(self) -> dict[str, int]:
        """Examples by split."""
        students = {student_set(step): self.student for step in range(self.student_sets)}
        return {"supervisor": self.supervisor, **students, "validation": self.validation, "test": self.test}


def student_set(step: int) -> str:
    """The split of the student examples for step 0, 1, ..."""
    return f"student_{step + 1}" if step else "student"


def answered(splits: Iterable[str]) -> list[str]:
    """The splits that are predicted: all but the supervisor's own, which labels nobody."""
    return [name for name in splits if name != "supervisor"]


@dataclass(frozen=True)
class Splits(Stage[dict[str, list[Example]]]):
    """The task's examples in splits that are disjoint by group and balanced. Burns et al. 2023, appendix A.1."""

    task: Task
    sizes: Sizes
    seed: int

    @property
    def what(self) -> str:
        return f"splits of {self.task.name}"

    def run(self, out: Path, store: Store) -> None:
        from w2sweep.splitting import split

        splits, manifest = split(self.task.examples(), self.sizes, self.seed)
        for name, examples in splits.items():
            lines = [json.dumps(asdict(e), ensure_ascii=False) for e in examples]
            (out / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (out / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")

    def read(self, path: Path) -> dict[str, list[Example]]:
        def example(line: str) -> Example:
            fields = json.loads(line)
            return Example(**{**fields, "views": tuple(fields["views"])})

        lines = {name: (path / f"{name}.jsonl").read_text("utf-8").splitlines() for name in self.sizes.asked}
        return {name: [example(line) for line in its] for name, its in lines.items()}


@dataclass(frozen=True)
class Text(Stage[Path]):
    """A corpus as one stream of tokens, with the tokenizer that made it: what a homegrown ladder reads."""

    corpus: Corpus
    tokenizer: Tokenizer

    @property
    def what(self) -> str:
        return f"tokens of {type(self.corpus).__name__.lower()}"

    def run(self, out: Path, store: Store) -> None:
        from w2sweep.model import tokenize_corpus

        tokenize_corpus(self.corpus, self.tokenizer, out)

    def read(self, path: Path) -> Path:
        """The folder: the tokenizer's files, `train.npy` and `heldout.npy` (token ids, [N] each)."""
        return path


@dataclass(frozen=True)
class Pretrain(Stage[Path]):
    """A homegrown rung, trained as a language model. With no tokens to read it is a random initialization."""

    backbone: Homegrown
    text: Text
    seed: int

    def run(self, out: Path, store: Store) -> None:
        from w2sweep.training import pretrain

        pretrain(self, out, store)

    def read(self, path: Path) -> Path:
        """The folder, as `save_pretrained` writes it; `pretrain.json` has the losses."""
        return path

    @property
    def role(self) -> str:
        """What the stage is in an experiment."""
        return "pretrain"

    @property
    def what(self) -> str:
        return f"pretrain {self.backbone.label}"


@dataclass(frozen=True)
class Features(Stage["dict[str, NDArray[np.float32]]"]):
    """The frozen backbone's final hidden states at the last token, for linear probes. Appendix D.2."""

    backbone: Backbone
    init: Pretrain | None
    splits: Splits
    max_tokens: int
    seed: int

    @property
    def what(self) -> str:
        return f"features {self.backbone.label}, {self.splits.task.name}"

    def run(self, out: Path, store: Store) -> None:
        from w2sweep.training import features

        features(self, out, store)

    def read(self, path: Path) -> dict[str, NDArray[np.float32]]:
        """Split -> [N, views, width]."""
        from safetensors.numpy import load_file

        return load_file(path / "features.safetensors")


class Labels(Stage[Predictions]):
    """Predictions of all splits that are `answered`: what a student can learn from."""

    @property
    def label(self) -> str:
        """What predicts, in a few letters: in the names of its students."""
        raise NotImplementedError

    def read(self, path: Path) -> Predictions:
        return Predictions.load(path)


@dataclass(frozen=True)
class Finetune(Labels):
    """A backbone finetuned on the split `on`, and what it then predicts of the others."""

    backbone: Backbone
    init: Pretrain | None
    """Where the weights come from when they are not the hub's."""
    splits: Splits
    on: str
    labels: Labels | None
    """The stage whose predictions are the labels; None: the ground truth."""
    tuning: Tuning
    loss: Loss
    recipe: Recipe
    seed: int

    @property
    def features(self) -> Features | None:
        """What a linear probe reads instead of the backbone itself."""
        if not isinstance(self.tuning, LinearProbe):
            return None
        return Features(self.backbone, self.init, self.splits, self.recipe.max_tokens, self.seed)

    @property
    def inputs(self) -> list[Stage]:
        if self.features is None:
            return super().inputs
        return [s for s in (self.features, self.splits, self.labels) if s is not None]

    @property
    def role(self) -> str:
        """What the stage is in an experiment."""
        if self.labels is not None:
            return "student"
        return "supervisor" if self.on == "supervisor" else "ceiling"

    @property
    def label(self) -> str:
        return self.backbone.label

    @property
    def what(self) -> str:
        source = f" <- {self.labels.label}" if self.labels else ""
        return f"{self.role} {self.label}{source}, {self.splits.task.name}"

    def run(self, out: Path, store: Store) -> None:
        from w2sweep.training import finetune

        finetune(self, out, store)
