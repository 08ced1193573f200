"""A sweep as pandas tables, for notebooks: what `w2sweep.load` gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from w2sweep.report.csv_files import cell_records
from w2sweep.report.stored import StoredStages, stages_of
from w2sweep.results.cell import CEILING, SUPERVISOR, Place, Result
from w2sweep.results.sweep_folder import SweepFolder, read_sweep
from w2sweep.values import ConfigError

if TYPE_CHECKING:
    from pandas import DataFrame

AXES = ("task", "family", "ladder", "weak", "strong", "method", "seed")
PENDING = "pending"


@dataclass(frozen=True)
class LoadedSweep:
    """The results of a sweep as tables of pandas. They are made when they are first asked for."""

    folder: SweepFolder
    """What its folder says, cell by cell."""
    store: Path | None = None
    """Where its stages are; None: where the cells say."""

    @cached_property
    def cells(self) -> DataFrame:
        """A row a cell, with the columns of `report/cells.csv`: task, family, ladder, weak, strong,
        method, seed, accuracies, PGR or why there is none, agreement, sizes, compute and the
        diagnostics. Further ones are every override that tells cells apart (such as
        `supervision.noise`; a number where all of its values are numbers), and for each model that
        is compared its stage in the store (`student_stage`).

        `status` is "finished", "skipped", "failed" or "pending", and for cells of earlier runs
        under the same name "finished, of an earlier run"; `reason` says why.
        """
        from pandas import DataFrame

        rows = [*cell_records(self.folder), *self._pending()]
        everything = {**self.folder.cells, **self.folder.earlier}
        found = [everything[row["dir"]] for row in rows]
        variants = [cell.variant if isinstance(cell, Place) else {} for cell in found]
        stages = [_stages(cell) for cell in found]
        parts = zip(rows, variants, stages, strict=True)
        frame = DataFrame([row | variant | of for row, variant, of in parts])
        overridden = {key for variant in variants for key in variant}
        numbers = {key: _numbers(frame[key]) for key in overridden}
        return _without_nothing(frame.assign(**numbers))

    @cached_property
    def curves(self) -> DataFrame:
        """A row for each step that was logged while a stage was trained: `stage`, `what`, `role`,
        `rung`, `task`, `ladder`, `seed`, then what was logged (`step`, `progress`, `loss`, `lr`,
        `validation/accuracy_own`, ...).

        A model that several cells share is there once. `role` is the one that the model has in its
        cells; "pretrain" or "adapt" of language models, whose task is empty; and "input" of other
        models that these were made of, such as the steps of bootstrapping. Only students have
        `weak`, `method` and `variant`. Raises ConfigError where the store lacks a stage.
        """
        from pandas import DataFrame

        rows: list[dict[str, Any]] = []
        for (stage, _), (result, place) in self._trained().items():
            logged = self._stages(result).curves(stage)
            rows += [place | row for row in logged]
        return DataFrame(rows)

    def predictions(self, *, text: bool = False, **chosen: Any) -> DataFrame:
        """A row for each test example and model of the finished cells: where the cell lies (`dir`,
        `task`, ..., `seed`), the model's `role`, `id` and `label` of the example, the `answer`,
        whether it is `right`, and the probabilities `p_0`, `p_1`, ... of the classes where there
        are some.

        Args:
            text: also what the models have read, as `text`, or of a pair as `first` and `second`.
            chosen: which cells and roles, by one value or several: `task="sentiment"`,
                `seed=[0, 1]`, `role="student"`. A model that several cells share is there for each.

        Raises ConfigError where nothing is chosen, or where the store lacks a stage.
        """
        from pandas import concat

        found = list(self._chosen(chosen))
        if not found:
            asked = ", ".join(f"{key}={value!r}" for key, value in chosen.items())
            raise ConfigError(f"{self.folder.path} has no finished cell with {asked}: see .cells")
        frames = [self._answers(folder, r, role, text) for folder, r, role in found]
        return concat(frames, ignore_index=True)

    def __repr__(self) -> str:
        count = Counter(_status(cell) for cell in self.folder.cells.values())
        told = ", ".join(f"{n} {status}" for status, n in sorted(count.items()))
        return f"<sweep {self.folder.name}: {told}>"

    def _pending(self) -> list[dict[str, Any]]:
        return [{"dir": name, "status": PENDING} for name in self.folder.pending]

    def _stages(self, result: Result) -> StoredStages:
        known = self._stores
        if result.store not in known:
            known[result.store] = stages_of(result.store, self.folder.path, self.store)
        return known[result.store]

    @cached_property
    def _stores(self) -> dict[str, StoredStages]:
        return {}

    def _trained(self) -> dict[tuple[str, str], tuple[Result, dict[str, Any]]]:
        """(stage, role) -> a cell that needs it, and the first columns of its curves: first the
        models that are compared, then all that they were made of."""
        found: dict[tuple[str, str], tuple[Result, dict[str, Any]]] = {}
        for result in self.folder.results:
            for role, model in result.models.items():
                found.setdefault((model.stage, role), (result, self._placed(result, role)))
        models = {stage for stage, _ in found}
        for (stage, _), (result, _) in list(found.items()):
            for name in self._stages(result).inputs(stage):
                if name not in models and (self._stages(result).root / name).is_dir():
                    place = self._placed_input(result, name)
                    found.setdefault((name, place["role"]), (result, place))
        return found

    def _placed(self, r: Result, role: str) -> dict[str, Any]:
        stage = r.models[role].stage
        what = self._stages(r).record(stage)["what"]
        rung = r.weak if role == SUPERVISOR else r.strong
        place = {"stage": stage, "what": what, "role": role, "rung": rung, "task": r.task}
        place |= {"ladder": r.ladder, "seed": r.seed}
        if role in (SUPERVISOR, CEILING):
            return place
        variant = ",".join(f"{key}={value}" for key, value in r.variant.items())
        return place | {"weak": r.weak, "method": r.method, "variant": variant}

    def _placed_input(self, r: Result, stage: str) -> dict[str, Any]:
        """By its record: `what` begins with its role and its rung."""
        record = self._stages(r).record(stage)
        role, rung, *_ = [*record["what"].split(), ""]
        language_model = stage.startswith("Adapt/")
        return {
            "stage": stage,
            "what": record["what"],
            "role": role if language_model else "input",
            "rung": rung.rstrip(","),
            "task": None if language_model else r.task,
            "ladder": r.ladder,
            "seed": record["stage"].get("seed"),
        }

    def _chosen(self, chosen: Mapping[str, Any]) -> Iterator[tuple[str, Result, str]]:
        known = ("dir", *AXES, "role")
        if strange := sorted(chosen.keys() - set(known)):
            raise ConfigError(f"found {strange[0]}=, expected some of {', '.join(known)}, text")
        wanted = {key: _several(value) for key, value in chosen.items()}
        for folder, cell in self.folder.cells.items():
            if not isinstance(cell, Result):
                continue
            place = _axes(folder, cell)
            for role in cell.models:
                at = place | {"role": role}
                if all(at[key] in values for key, values in wanted.items()):
                    yield folder, cell, role

    def _answers(self, folder: str, r: Result, role: str, text: bool) -> DataFrame:
        from pandas import DataFrame

        stages, stage = self._stages(r), r.models[role].stage
        answers, examples = stages.answers(stage), stages.examples(stage)
        columns: dict[str, Any] = {**_axes(folder, r), "role": role}
        columns["id"] = [e.id for e in examples]
        columns["label"] = [e.label for e in examples]
        columns |= _said(answers)
        columns["right"] = r.correct[role].astype(bool)
        if text:
            columns |= _texts([e.views for e in examples])
        return DataFrame(columns)


def load(sweep: str | Path, store: str | Path | None = None) -> LoadedSweep:
    """See `w2sweep.load`."""
    return LoadedSweep(read_sweep(Path(sweep)), Path(store) if store else None)


def _axes(folder: str, place: Place) -> dict[str, Any]:
    return {"dir": folder, **{axis: getattr(place, axis) for axis in AXES}}


def _several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple | set | range) else [value]


def _said(answers: Any) -> dict[str, Any]:
    """Of probabilities [N, K] the likeliest class too; of completions [N] what they say."""
    if isinstance(answers, list):
        return {"answer": [answer.strip() for answer in answers]}
    probabilities = np.asarray(answers)
    classes = range(probabilities.shape[1])
    told: dict[str, Any] = {"answer": probabilities.argmax(-1)}
    return told | {f"p_{k}": probabilities[:, k] for k in classes}


def _texts(views: list[tuple[str, ...]]) -> dict[str, list[str]]:
    names = ("text",) if len(views[0]) == 1 else ("first", "second")
    columns = map(list, zip(*views, strict=True))
    return dict(zip(names, columns, strict=True))


def _status(cell: object) -> str:
    if cell is None:
        return PENDING
    kinds = {"Result": "finished", "SkippedCell": "skipped"}
    return kinds.get(type(cell).__name__, "failed")


def _stages(cell: object) -> dict[str, str]:
    models = cell.models if isinstance(cell, Result) else {}
    return {f"{role}_stage": model.stage for role, model in models.items()}


def _numbers(column: Any) -> Any:
    """A column as numbers where it has nothing else."""
    from pandas import to_numeric

    try:
        return to_numeric(column)
    except (ValueError, TypeError):
        return column


def _without_nothing(frame: DataFrame) -> DataFrame:
    """With columns of nothing but None as numbers, so that they can be drawn and averaged."""
    empty = frame.columns[frame.isna().all()]
    return frame.astype(dict.fromkeys(empty, float))
