"""Where rows come from: a dataset of the Hugging Face hub, a local folder in the same schema, or a user's own file."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from w2sweep.tasks.readers import READERS, checksum, numbered_rows, parquet_rows
from w2sweep.tasks.rows import Row
from w2sweep.values import ConfigError, value

Names = Annotated[tuple[str, ...], BeforeValidator(tuple)]
"""A tuple of strings; a list will do."""

Format = Literal["csv", "jsonl", "parquet"]


class Source(ABC):
    """Rows, and what they are: a value whose identity is the content, wherever it lies."""

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """All rows. Raises ConfigError, naming the file and what to do, where they cannot be read."""

    @abstractmethod
    def identity(self) -> Any:
        """What the rows are, as JSON."""

    @property
    @abstractmethod
    def label(self) -> str:
        """As in messages."""

    @abstractmethod
    def where(self) -> str:
        """Where they come from, once it is known to be there. Raises ConfigError where it is not."""


@value
class HubDataset(Source):
    """A dataset of the Hugging Face hub; from `root`, where one is given, instead of the network."""

    dataset: str
    splits: Names
    """The labelled splits, pooled: w2sweep makes its own. A local folder may have only some of them."""
    config: str | None = None
    revision: str | None = None
    """A commit, so that the data stay the same."""
    aliases: Names = ()
    """Other names of the same data, on the hub and in local folders."""
    limit: int | None = None
    """At most so many rows of each split, evenly spread, of those that have millions."""
    root: str | None = None
    """A folder `<root>/<org>/<name>/<config or default>/<split>.parquet`, or with a `mirror.json` that lists files."""

    def rows(self) -> Iterator[Row]:
        if self.root is None:
            for split in self.splits:
                yield from self._download(split)
        else:
            for split, file in self.files().items():
                yield from parquet_rows(file, f"{self.label} {split} ({file})", self.limit)

    def identity(self) -> Any:
        fields = (self.dataset, self.config, self.splits, self.revision)
        files = (
            {split: checksum(file) for split, file in self.files().items()}
            if self.root is not None
            else None
        )
        return {"hub": fields if files is None else files, "limit": self.limit}

    def where(self) -> str:
        """The dataset, and the local folder or the commit on the hub, which is asked for it."""
        if self.root is not None:
            files = self.files()
            folder = next(iter(files.values())).parent.relative_to(self.root)
            absent = ", ".join(split for split in self.splits if split not in files)
            return (
                f"{folder} ({', '.join(files)}{f'; no {absent}' if absent else ''}) of {self.root}"
            )
        from huggingface_hub import HfApi

        try:
            found = HfApi().dataset_info(self.dataset, revision=self.revision, timeout=10)
        except Exception as error:
            raise self._unreachable(error) from None
        return f"hub: {self.label} at {found.sha}"

    def files(self) -> dict[str, Path]:
        """The local file of each split that is there."""
        root = Path(self.root or "")
        there = {**_laid_out(root, self), **_mirrored(root, self)}
        files = {split: there[split] for split in self.splits if split in there}
        if not files:
            what = f"splits {', '.join(there)}" if there else "nothing"
            raise ConfigError(
                f"data_root={root} has {what} of {self.label}, but {' or '.join(self.splits)} is needed: "
                "add the parquet file, or leave data_root out to load from the hub"
            )
        return files

    @property
    def label(self) -> str:
        """As in messages."""
        return f"{self.dataset} ({self.config})" if self.config else self.dataset

    def _download(self, split: str) -> Iterator[Row]:
        """From the hub: as it is, or, where it still is a loading script, from the hub's own parquet conversion, which
        `revision` may be a commit of and which has configs as folders."""
        import datasets

        datasets.disable_progress_bars()
        converted: dict[str, Any] = {"data_dir": self.config, "split": split}
        ways = (
            {"name": self.config, "split": split, "revision": self.revision},
            {**converted, "revision": self.revision},
            {**converted, "revision": "refs/convert/parquet"},
        )
        with _asking_once():
            table = self._first(ways)
        batches = table.with_format("arrow").iter(1000)
        yield from numbered_rows(batches, len(table), f"{self.label} {split}", self.limit)

    def _first(self, ways: Iterable[dict[str, Any]]) -> Any:
        import datasets

        reasons: list[Exception] = []
        for way in ways:
            try:
                return datasets.load_dataset(self.dataset, **way)
            except Exception as error:  # the hub fails in many ways, and all of them mean: the next way, or no data
                reasons.append(error)
        raise self._unreachable(reasons[0])

    def _unreachable(self, error: Exception) -> ConfigError:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return ConfigError(
            f"dataset {self.label} cannot be loaded from the Hugging Face hub ({reason:.120}): "
            "check the network, or give a folder that has it (data_root=FOLDER)"
        )


@contextmanager
def _asking_once() -> Iterator[None]:
    """Where the hub does not answer, only what was downloaded earlier is looked for: its clients would go on asking,
    for each of many files, for a minute."""
    import datasets.config
    import huggingface_hub

    settings: tuple[Any, ...] = (huggingface_hub.constants, datasets.config)
    before = [module.HF_HUB_OFFLINE for module in settings]
    try:
        huggingface_hub.get_session().head(huggingface_hub.constants.ENDPOINT, timeout=10)
    except Exception:  # of whichever HTTP library it is made with
        for module in settings:
            module.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        for module, offline in zip(settings, before, strict=True):
            module.HF_HUB_OFFLINE = offline


@value
class File(Source):
    """A user's own CSV, JSON-lines or parquet file, plain or (CSV, JSON lines) compressed as .gz or .zst."""

    path: str
    format: Format | None = None
    """None: as the name says."""

    def rows(self) -> Iterator[Row]:
        format = self.format or next(
            (s[1:] for s in Path(self.path).suffixes if s[1:] in READERS), ""
        )
        if format not in READERS:
            raise ConfigError(
                f"{self.path} is of no known kind: expected a name with .{', .'.join(READERS)}"
            )
        checksum(self.path)
        yield from READERS[format](Path(self.path), self.path)

    def identity(self) -> Any:
        return {"file": checksum(self.path)}

    @property
    def label(self) -> str:
        return self.path

    def where(self) -> str:
        checksum(self.path)
        return self.path


def _given(source: Any) -> Any:
    return File(source) if isinstance(source, str) else source


Rows = Annotated[Source, BeforeValidator(_given)]
"""A source; the path of a file will do."""


def _mirrored(root: Path, source: HubDataset) -> dict[str, Path]:
    """Split -> file, by the `mirror.json` of the folder; empty where the dataset or its config is not listed."""
    wanted = {name.casefold() for name in (source.dataset, *source.aliases)}
    for hub_id, entry in _mirror(root / "mirror.json").items():
        if not wanted.isdisjoint(name.casefold() for name in (hub_id, *entry.get("aliases", []))):
            configs = entry["configs"]
            only = next(iter(configs)) if len(configs) == 1 else None
            config = source.config or entry.get("default_config") or only
            named = [c for name, c in configs.items() if config in (name, c.get("hub_config"))]
            return (
                {split: root / d["file"] for split, d in named[0]["splits"].items()}
                if named
                else {}
            )
    return {}


def _mirror(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(
            f"{path} is no JSON ({error}): mend it, or remove it to go by names of folders"
        ) from None


def _laid_out(root: Path, source: HubDataset) -> dict[str, Path]:
    """Split -> file, by the names of the folders. With no config asked for, the only one may have any name."""
    for name in (source.dataset, *source.aliases):
        configs = [source.config or "default", "default"]
        if source.config is None:
            configs += sorted(f.name for f in (root / name).glob("*") if f.is_dir())
        for config in configs:
            if files := {f.stem: f for f in sorted((root / name / config).glob("*.parquet"))}:
                return files
    return {}
