"""Where rows come from: a dataset of the Hugging Face hub, a folder with it, or a user's file."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from w2sweep.tasks.asking import asking_once, first_line
from w2sweep.tasks.readers import READERS, checksum, numbered_rows, parquet_rows
from w2sweep.tasks.rows import Row
from w2sweep.values import ConfigError, as_tuple, value

Names = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]
"""A tuple of strings; a list will do."""

FileFormat = Literal["csv", "jsonl", "parquet"]


class Source(ABC):
    """A value that stands for some rows. Its identity is their content, wherever that lies."""

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """All rows.

        Raises ConfigError where they cannot be read, naming the file and what to do.
        """

    @abstractmethod
    def identity(self) -> Any:
        """What the rows are, as JSON."""

    @property
    @abstractmethod
    def label(self) -> str:
        """What messages call it."""

    @abstractmethod
    def where(self) -> str:
        """Where the rows come from, once that is known to be there.

        Raises ConfigError where it is not.
        """


@value
class HubDataset(Source):
    """A dataset of the Hugging Face hub, or a copy of it in a local folder."""

    dataset: str
    splits: Names
    """The labelled splits, which are pooled: w2sweep makes splits of its own. A local folder may
    have only some of them."""
    config: str | None = None
    revision: str | None = None
    """A commit of the hub, so that the data stay the same; of its conversion to parquet where the
    dataset itself is a loading script. None, or the name of a branch or tag: the commit that it
    stands for when it is first asked for, which is as much a part of the identity."""
    aliases: Names = ()
    """Other names of the same data, on the hub and in local folders."""
    limit: int | None = None
    """For datasets of millions of rows: at most so many of each split, evenly spread."""
    root: str | None = None
    """The local folder: `<root>/<org>/<name>/<config or default>/<split>.parquet`, or one with a
    `mirror.json` that lists its files. None: the hub."""

    def rows(self) -> Iterator[Row]:
        """All rows, split by split."""
        if self.root is None:
            for split in self.splits:
                yield from self._download(split)
        else:
            for split, file in self.files().items():
                yield from parquet_rows(file, f"{self.label} {split} ({file})", self.limit)

    def identity(self) -> Any:
        """Of a local folder the content of its files; else the names that the hub knows it by.

        Raises ConfigError where the hub must be asked for a commit and does not answer.
        """
        if self.root is not None:
            files = [checksum(file) for file in self.files().values()]
            return {"files": files, "limit": self.limit}
        names = (self.dataset, self.config, self.splits, self._commit)
        return {"hub": names, "limit": self.limit}

    def where(self) -> str:
        """The local folder and its splits, or the commit on the hub.

        Raises ConfigError where the hub, which is asked, does not answer.
        """
        if self.root is not None:
            return self._where_in(Path(self.root))
        commit = self._commit
        try:
            found = _on_hub(self.dataset, commit)
        except Exception as error:
            raise self._unreachable(error) from None
        return f"hub: {self.label} at {found.sha}"

    def files(self) -> dict[str, Path]:
        """The local file of each split that is there. Raises ConfigError where there is none."""
        root = Path(self.root or "")
        there = {**_laid_out(root, self), **_mirrored(root, self)}
        files = {split: there[split] for split in self.splits if split in there}
        if not files:
            what = f"splits {', '.join(there)}" if there else "nothing"
            needed = " or ".join(self.splits)
            raise ConfigError(
                f"data_root={root} has {what} of {self.label}, but {needed} is needed: "
                "add the parquet file, or leave data_root out to load from the hub"
            )
        return files

    @property
    def label(self) -> str:
        """The dataset, and its config if it has several."""
        return f"{self.dataset} ({self.config})" if self.config else self.dataset

    def _where_in(self, root: Path) -> str:
        files = self.files()
        folder = next(iter(files.values())).parent.relative_to(root)
        absent = ", ".join(split for split in self.splits if split not in files)
        missing = f"; no {absent}" if absent else ""
        return f"{folder} ({', '.join(files)}{missing}) of {root}"

    def _download(self, split: str) -> Iterator[Row]:
        """The rows of a split, from the hub, at the very commit that the identity names.

        A commit of the hub's own conversion to parquet has configs as folders. Each commit has a
        cache of its own: where it cannot be loaded, `datasets` would take whichever other one it
        finds there.
        """
        import datasets.config

        datasets.disable_progress_bars()
        commit = self._commit
        cache = str(Path(datasets.config.HF_DATASETS_CACHE) / commit)
        here: dict[str, Any] = {"split": split, "revision": commit, "cache_dir": cache}
        ways = ({"name": self.config, **here}, {"data_dir": self.config, **here})
        with asking_once():
            table = self._first(ways)
        batches = table.with_format("arrow").iter(1000)
        yield from numbered_rows(batches, len(table), f"{self.label} {split}", self.limit)

    def _first(self, ways: Iterable[dict[str, Any]]) -> Any:
        """The dataset, by the first of the ways to load it that works."""
        import datasets

        reasons: list[Exception] = []
        for way in ways:
            try:
                return datasets.load_dataset(self.dataset, **way)
            except Exception as error:  # the hub fails in many ways, and each means: try the next
                reasons.append(error)
        raise self._moved(reasons[0])

    @property
    def _commit(self) -> str:
        """The commit to load. Raises ConfigError where the hub must be asked and is silent."""
        if self.revision is not None and _COMMIT.fullmatch(self.revision):
            return self.revision
        try:
            return _resolved(self.dataset, self.revision)
        except Exception as error:
            reason = first_line(error)
            raise ConfigError(
                f"dataset {self.label} is not pinned to a commit, and the Hugging Face hub cannot "
                f"be asked for the newest ({reason:.120}): check the network, set "
                "task.source.revision=COMMIT (manifest.json of earlier splits has it), or give a "
                "folder that has it (data_root=FOLDER)"
            ) from None

    def _moved(self, error: Exception) -> ConfigError:
        """The error for a commit that cannot be loaded. It names the newest one, if there is one:
        other data are never read in its place."""
        try:
            newest = _resolved(self.dataset, None)
        except Exception:  # the hub does not answer at all
            return self._unreachable(error)
        if newest == self._commit:
            return self._unreachable(error)
        return ConfigError(
            f"dataset {self.label} cannot be loaded at {self._commit} ({first_line(error):.120}): "
            f"its newest data are at task.source.revision={newest}, which may be other data"
        )

    def _unreachable(self, error: Exception) -> ConfigError:
        return ConfigError(
            f"dataset {self.label} cannot be loaded from the Hugging Face hub "
            f"({first_line(error):.120}): "
            "check the network, or give a folder that has it (data_root=FOLDER)"
        )


_COMMIT = re.compile("[0-9a-f]{40}")


@lru_cache(maxsize=256)  # one process reads one commit, even if the branch moves on meanwhile
def _resolved(dataset: str, revision: str | None) -> str:
    """The commit that a branch or a tag stands for. Without one the newest: of the dataset, or,
    where that is a loading script, which `datasets` no longer runs, of the hub's conversion of it.

    Raises whatever the hub's client does where there is no answer.
    """
    found = _on_hub(dataset, revision)
    files = [file.rfilename for file in found.siblings or ()]
    is_script = f"{dataset.rpartition('/')[2]}.py" in files
    if revision is None and is_script:
        found = _on_hub(dataset, "refs/convert/parquet")
    return str(found.sha)


def _on_hub(dataset: str, revision: str | None) -> Any:
    """What the hub says of a dataset at a revision, asked once and in vain for ten seconds at
    most."""
    from huggingface_hub import HfApi

    return HfApi().dataset_info(dataset, revision=revision, timeout=10)


@value
class File(Source):
    """A user's own file: CSV or JSON lines, which may be compressed (.gz, .zst), or parquet."""

    path: str
    format: FileFormat | None = None
    """None: as the name says."""

    def rows(self) -> Iterator[Row]:
        """All rows. Raises ConfigError where the file is of no known format or broken."""
        format = self.format or self._suffix()
        if format not in READERS:
            known = ", .".join(READERS)
            raise ConfigError(f"{self.path} is of no known kind: expected a name with .{known}")
        checksum(self.path)
        yield from READERS[format](Path(self.path), self.path)

    def identity(self) -> Any:
        """The content, wherever the file lies."""
        return {"file": checksum(self.path)}

    @property
    def label(self) -> str:
        """The path."""
        return self.path

    def where(self) -> str:
        """The path. Raises ConfigError where there is no such file."""
        checksum(self.path)
        return self.path

    def _suffix(self) -> str:
        suffixes = [suffix[1:] for suffix in Path(self.path).suffixes]
        return next((suffix for suffix in suffixes if suffix in READERS), "")


def _source(given: Any) -> Any:
    return File(given) if isinstance(given, str) else given


SourceOrFile = Annotated[Source, BeforeValidator(_source)]
"""A source; the path of a file will do."""


def _mirrored(root: Path, source: HubDataset) -> dict[str, Path]:
    """Split -> file, as the `mirror.json` of the folder lists them.

    Empty where it does not list the dataset or its config.
    """
    file = root / "mirror.json"
    try:
        entry = _entry(_mirror(file), (source.dataset, *source.aliases))
        return {} if entry is None else _listed(entry, source.config, root)
    except (AttributeError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{file} does not list datasets as {{dataset: {{configs: {{config: {{splits: {{split: "
            f"{{file: ...}}}}}}}}}}}} ({type(error).__name__}: {error}): mend it, or remove it to "
            "go by names of folders"
        ) from None


def _listed(entry: dict[str, Any], asked: str | None, root: Path) -> dict[str, Path]:
    """Split -> file, of the config that is asked for, or else of the default one."""
    configs = entry["configs"]
    only = next(iter(configs)) if len(configs) == 1 else None
    config = asked or entry.get("default_config") or only
    for name, listed in configs.items():
        if config in (name, listed.get("hub_config")):
            return {split: root / found["file"] for split, found in listed["splits"].items()}
    return {}


def _entry(mirror: dict[str, Any], names: Iterable[str]) -> dict[str, Any] | None:
    """What a mirror lists under one of these names, whichever way either writes its case."""
    wanted = {name.casefold() for name in names}
    for hub_id, entry in mirror.items():
        listed = {name.casefold() for name in (hub_id, *entry.get("aliases", []))}
        if listed & wanted:
            return entry
    return None


def _mirror(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        what = f"no JSON ({error})"
        raise ConfigError(
            f"{path} is {what}: mend it, or remove it to go by names of folders"
        ) from None


def _laid_out(root: Path, source: HubDataset) -> dict[str, Path]:
    """Split -> file, by the names of the folders.

    With no config asked for, any will do, for a dataset of one config may have it under any name.
    """
    for name in (source.dataset, *source.aliases):
        configs = [source.config or "default", "default"]
        if source.config is None:
            configs += sorted(f.name for f in (root / name).glob("*") if f.is_dir())
        for config in configs:
            if files := {f.stem: f for f in sorted((root / name / config).glob("*.parquet"))}:
                return files
    return {}
