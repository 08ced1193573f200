"""Trackers that write plain files, by Lightning's own loggers: for TensorBoard, and CSV.

They are given the same runs and rows as Weights & Biases. A run is a folder DIR/SWEEP/RUN: of
`hparams.yaml`, what it can be filtered by, and of what was logged. They import Lightning, and with
it torch, when the first run is opened.
"""

from __future__ import annotations

import hashlib
import re
import struct
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from w2sweep.engine.tracker import Run, Tracker, Writer, brief, warn
from w2sweep.values import ConfigError, value

if TYPE_CHECKING:
    from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

LEFT_OUT = ("identity",)
"""What is not written into each run: `stage.json` in the store has it, under the run's `stage`."""


@value
class Files(Tracker):
    """Runs as folders of files. What was computed on other machines is there where they share
    `dir`."""

    dir: str
    """Where folders of sweeps are made."""

    @contextmanager
    def run(
        self,
        *,
        id: str,
        name: str,
        group: str,
        job_type: str,
        tags: Sequence[str] = (),
        config: Mapping[str, Any] | None = None,
        live: bool = False,
    ) -> Iterator[Run]:
        """See `Tracker.run`."""
        said = {key: held for key, held in (config or {}).items() if key not in LEFT_OUT}
        about = {"id": id, "name": name, "job_type": job_type, "tags": ", ".join(tags), **said}
        run, exit_code = Run(self._opened(_safe(group), _folder_name(name, id), about)), 1
        try:
            yield run
            exit_code = 0
        finally:
            run.finish(exit_code)

    def place(self, sweep: str) -> list[str]:
        return [type(self).__name__, self.dir, sweep]

    def _opened(self, group: str, folder: str, about: dict[str, Any]) -> Writer | None:
        try:
            return self._writer(group, folder, about)
        except Exception as error:
            warn(f"{type(self).__name__} cannot be used ({brief(error)}): going on without")
            return None

    @abstractmethod
    def _writer(self, group: str, folder: str, about: dict[str, Any]) -> Writer: ...


@value
class TensorBoardFiles(Files):
    """Event files: `tensorboard --logdir DIR` shows curves, and cells in a table and in plots of
    its HParams."""

    dir: str = "outputs/tensorboard"

    def check(self) -> None:
        if not find_spec("tensorboard"):
            raise ConfigError(
                "tracking=tensorboard writes its files by TensorBoard, which is not installed: "
                "pip install 'w2sweep[tensorboard]', or say tracking=csv"
            )

    def _writer(self, group: str, folder: str, about: dict[str, Any]) -> Writer:
        return _TensorBoard(Path(self.dir), group, folder, about)


@value
class CsvFiles(Files):
    """`version_0/metrics.csv`, a row a step. A stage that is resumed goes on in `version_1`."""

    dir: str = "outputs/csv"

    def _writer(self, group: str, folder: str, about: dict[str, Any]) -> Writer:
        return _Csv(Path(self.dir), group, folder, about)


class _TensorBoard:
    url = ""

    def __init__(self, root: Path, group: str, folder: str, about: dict[str, Any]):
        from pytorch_lightning.loggers import TensorBoardLogger

        # one folder for all attempts at a stage: TensorBoard joins them
        own: dict[str, Any] = {"version": "", "default_hp_metric": False}
        self._logger: TensorBoardLogger = TensorBoardLogger(str(root / group), folder, **own)
        self._about, self._results = about, dict[str, float]()

    def log(self, values: Mapping[str, Any], step: int | None) -> None:
        self._logger.log_metrics(_numbers(values), step)

    def summarize(self, values: Mapping[str, Any]) -> None:
        self._results |= _numbers(values)

    def show(
        self, rows: Sequence[Mapping[str, Any]], figures: Sequence[Path], page: Path | None
    ) -> None:
        """Adds the figures. It has no place for a table of its own, nor for a page."""
        from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportMissingImports, reportAttributeAccessIssue]

        for figure in figures:
            png = figure.read_bytes()
            width, height = struct.unpack(">II", png[16:24])  # where all PNG files have them
            size = {"width": width, "height": height, "colorspace": 4}
            image = Summary.Image(encoded_image_string=png, **size)
            shown = Summary.Value(tag=f"figures/{figure.stem}", image=image)
            self._logger.experiment._get_file_writer().add_summary(Summary(value=[shown]), 0)

    def finish(self, exit_code: int) -> None:
        self._logger.log_hyperparams(self._about, self._results, step=0)
        self._logger.finalize("success" if exit_code == 0 else "failed")


class _Csv:
    url = ""

    def __init__(self, root: Path, group: str, folder: str, about: dict[str, Any]):
        from pytorch_lightning.loggers import CSVLogger

        self._logger: CSVLogger = CSVLogger(root / group, folder, flush_logs_every_n_steps=1)
        self._logger.log_hyperparams(about)
        self._logger.save()

    def log(self, values: Mapping[str, Any], step: int | None) -> None:
        self._logger.log_metrics(_numbers(values), step)

    def summarize(self, values: Mapping[str, Any]) -> None:
        self._logger.log_metrics(_numbers(values), 0)

    def show(
        self, rows: Sequence[Mapping[str, Any]], figures: Sequence[Path], page: Path | None
    ) -> None:
        """Adds nothing: all of it lies in the sweep's `report/` as files."""

    def finish(self, exit_code: int) -> None:
        self._logger.finalize("success" if exit_code == 0 else "failed")


def _numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: float(held) for key, held in values.items() if isinstance(held, Real)}


def _folder_name(name: str, id: str) -> str:
    """The run's name as that of a folder, with some letters that tell it from all others."""
    own = hashlib.sha256(id.encode()).hexdigest()[:6]
    return f"{_safe(name)[:150]}, {own}"


def _safe(name: str) -> str:
    plain = name.replace(" / ", ", ").replace("->", "to")
    return re.sub(r"[^\w .,=+~@-]+", "_", plain).strip(" .") or "_"
