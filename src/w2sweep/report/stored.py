"""What the stages of a sweep have left in its store, by their names alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from w2sweep.engine import record
from w2sweep.engine.files import read_json
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.splits import read_examples
from w2sweep.learning.curves import read_curves
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Answers
from w2sweep.values import ConfigError

SPLITS = "Splits/"


@dataclass(frozen=True)
class StoredStages:
    """The stages in a store. Each file is read once. All methods raise ConfigError where what they
    read is not there."""

    root: Path
    _records: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    _answers: dict[str, Answers] = field(default_factory=dict, repr=False)
    _examples: dict[str, list[Example]] = field(default_factory=dict, repr=False)

    def record(self, stage: str) -> dict[str, Any]:
        """What `stage.json` says."""
        if stage not in self._records:
            self._records[stage] = self._read(stage, lambda at: read_json(at / record.FILE))
        return self._records[stage]

    def inputs(self, stage: str) -> list[str]:
        """The names of all that a stage was computed from."""
        return list(self.record(stage)["inputs"])

    def curves(self, stage: str) -> list[dict[str, Any]]:
        """What was logged while it trained, in its order; nothing where nothing was trained."""
        self.record(stage)
        return read_curves(self.root / stage)

    def answers(self, stage: str) -> Answers:
        """What a model said of the test split: probabilities [N, K], or completions [N]."""
        if stage not in self._answers:
            self._answers[stage] = self._read(
                stage, lambda at: Predictions.load(at).answers["test"]
            )
        return self._answers[stage]

    def examples(self, stage: str) -> list[Example]:
        """The test split that a model was asked about [N]."""
        splits = next(name for name in self.inputs(stage) if name.startswith(SPLITS))
        if splits not in self._examples:
            self._examples[splits] = self._read(splits, lambda at: read_examples(at / "test.jsonl"))
        return self._examples[splits]

    def _read(self, stage: str, reading: Any) -> Any:
        try:
            return reading(self.root / stage)
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(
                f"{self.root} has no readable {stage} ({type(error).__name__}): run the sweep "
                "again, which computes what is missing, or say store=FOLDER"
            ) from error


def stages_of(store: str, sweep: Path, given: Path | None) -> StoredStages:
    """The store that a cell says it is from, or that is given; where a sweep was moved with its
    store, the one that lies beside it. Raises ConfigError where there is none."""
    tried = [given] if given else [Path(store), sweep.absolute().parents[1] / "store"]
    for root in tried:
        if root.is_dir():
            return StoredStages(root)
    raise ConfigError(f"no store in {' or '.join(map(str, tried))}: say store=FOLDER")
