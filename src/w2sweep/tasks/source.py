"""Where rows come from: a dataset of the Hugging Face hub, a local folder in the same schema, or a user's own file."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import sys
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator

from w2sweep.tasks import Example, Skipped
from w2sweep.values import ConfigError, value

Names = Annotated[tuple[str, ...], BeforeValidator(tuple)]
"""A tuple of strings; a list will do."""

Format = Literal["csv", "jsonl", "parquet"]

LONGEST = 200_000
"""Characters of one text."""


class EmptyText(ConfigError):
    """A text that is not there: an error in a user's file, counted and left out of a dataset of others."""


class Row(dict[str, Any]):
    """One row, which knows where it stands, so that what is wrong with it can be said in one line."""

    __slots__ = ("file", "number")

    def __init__(self, values: Mapping[str, Any], file: str, number: int):
        super().__init__(values)
        self.file, self.number = file, number

    def __missing__(self, column: str) -> Any:
        raise ConfigError(f"{self.file} has no column '{column}'; its columns are {', '.join(self)}")

    def text(self, column: str) -> str:
        """A text that is really there. Raises ConfigError where it is not."""
        return self.sound(column, self[column])

    def texts(self, column: str) -> list[str]:
        """Texts that are really there: the answers to a question. Raises ConfigError where one is not."""
        texts = self[column]
        if not isinstance(texts, list) or not texts:
            raise self.wrong(column, f"expected a list of texts, found {texts!r:.40}")
        return [self.sound(column, text) for text in texts]

    def records(self, column: str) -> list[dict[str, Any]]:
        """A list of records, which the hub stores as that or as a record of lists."""
        found = self[column]
        if isinstance(found, dict) and all(isinstance(values, list) for values in found.values()):
            found = [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]
        if not isinstance(found, list) or not all(isinstance(record, dict) for record in found):
            raise self.wrong(column, f"expected a list of records, found {found!r:.40}")
        return found

    def sound(self, column: str, text: Any) -> str:
        """The text, which is one. Raises ConfigError where it is not."""
        if not isinstance(text, str):
            raise self.wrong(column, f"expected text, found {text!r:.40}")
        if not text.strip():
            raise EmptyText(f"{self.place(column)}: empty text")
        if len(text) > LONGEST:
            raise self.wrong(column, f"{len(text):,} characters, more than {LONGEST:,}: is this one example?")
        if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
            raise self.wrong(column, "invalid UTF-8")
        return text

    def place(self, column: str) -> str:
        """As in messages."""
        return f"{self.file}, row {self.number}, column '{column}'"

    def wrong(self, column: str, what: str) -> ConfigError:
        """The error to raise for a value of this row."""
        return ConfigError(f"{self.place(column)}: {what}")


T = TypeVar("T")


def read(rows: Iterable[Row], format: Callable[[Row], Iterator[T]]) -> Iterator[T | Skipped]:
    """What a formatter makes of the rows of a dataset. Its empty texts are nobody's to mend: they are counted."""
    for row in rows:
        try:
            yield from format(row)
        except EmptyText:
            yield Skipped("empty text")


def some(examples: Iterable[Example | Skipped], where: str) -> Iterator[Example | Skipped]:
    """The same. Raises ConfigError, when all were seen, where none can be used, and says why not."""
    reasons: Counter[str] = Counter()
    found = False
    for example in examples:
        if isinstance(example, Skipped):
            reasons[example.reason] += 1
        else:
            found = True
        yield example
    if not found:
        why = "; ".join(f"{n:,} {reason}" for reason, n in reasons.most_common()) or "it has no rows"
        raise ConfigError(f"{where}: nothing in it can be used: {why}")


def of_two_classes(examples: Iterable[Example | Skipped], where: str) -> Iterator[Example | Skipped]:
    """The same. Raises ConfigError, when all were seen, where they have but one label."""
    labels: set[int | str] = set()
    for example in examples:
        if isinstance(example, Example):
            labels.add(example.label)
        yield example
    if len(labels) == 1:
        raise ConfigError(f"{where}: all labels are of class {labels.pop()}, but two classes are needed: check them")


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
class Hub(Source):
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
                yield from _parquet_rows(file, f"{self.label} {split} ({file})", self.limit)

    def identity(self) -> Any:
        fields = (self.dataset, self.config, self.splits, self.revision)
        files = {split: checksum(file) for split, file in self.files().items()} if self.root is not None else None
        return {"hub": fields if files is None else files, "limit": self.limit}

    def where(self) -> str:
        """The dataset, and the local folder or the commit on the hub, which is asked for it."""
        if self.root is not None:
            files = self.files()
            folder = next(iter(files.values())).parent.relative_to(self.root)
            absent = ", ".join(split for split in self.splits if split not in files)
            return f"{folder} ({', '.join(files)}{f'; no {absent}' if absent else ''}) of {self.root}"
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
        yield from _numbered(batches, len(table), f"{self.label} {split}", self.limit)

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
        format = self.format or next((s[1:] for s in Path(self.path).suffixes if s[1:] in _READERS), "")
        if format not in _READERS:
            raise ConfigError(f"{self.path} is of no known kind: expected a name with .{', .'.join(_READERS)}")
        checksum(self.path)
        yield from _READERS[format](Path(self.path), self.path)

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


def _mirrored(root: Path, source: Hub) -> dict[str, Path]:
    """Split -> file, by the `mirror.json` of the folder; empty where the dataset or its config is not listed."""
    wanted = {name.casefold() for name in (source.dataset, *source.aliases)}
    for hub_id, entry in _mirror(root / "mirror.json").items():
        if not wanted.isdisjoint(name.casefold() for name in (hub_id, *entry.get("aliases", []))):
            configs = entry["configs"]
            only = next(iter(configs)) if len(configs) == 1 else None
            config = source.config or entry.get("default_config") or only
            named = [c for name, c in configs.items() if config in (name, c.get("hub_config"))]
            return {split: root / d["file"] for split, d in named[0]["splits"].items()} if named else {}
    return {}


def _mirror(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is no JSON ({error}): mend it, or remove it to go by names of folders") from None


def _laid_out(root: Path, source: Hub) -> dict[str, Path]:
    """Split -> file, by the names of the folders. With no config asked for, the only one may have any name."""
    for name in (source.dataset, *source.aliases):
        configs = [source.config or "default", "default"]
        if source.config is None:
            configs += sorted(f.name for f in (root / name).glob("*") if f.is_dir())
        for config in configs:
            if files := {f.stem: f for f in sorted((root / name / config).glob("*.parquet"))}:
                return files
    return {}


def _parquet_rows(path: Path, label: str, limit: int | None = None) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            yield from _numbered(file.iter_batches(1000), file.metadata.num_rows, label, limit)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0][:120]
        raise ConfigError(f"{path} is no whole parquet file ({reason}): get it again") from None


def _numbered(batches: Iterable[Any], n_rows: int, label: str, limit: int | None) -> Iterator[Row]:
    """The rows of Arrow tables, numbered from 1; of more than `limit`, as many as that, evenly spread."""
    kept = min(limit or n_rows, n_rows)
    start = 0
    for batch in batches:
        # row n is kept where n * kept / n_rows passes a whole number
        wanted = [i for i in range(len(batch)) if (start + i + 1) * kept // n_rows > (start + i) * kept // n_rows]
        try:
            rows = batch.to_pylist() if len(wanted) == len(batch) else batch.take(wanted).to_pylist()
        except UnicodeDecodeError:
            raise _undecodable(batch, label, start) from None
        yield from (Row(row, label, start + i + 1) for i, row in zip(wanted, rows, strict=True))
        start += len(batch)


def _undecodable(batch: Any, label: str, start: int) -> ConfigError:
    """The error that names the first text of an Arrow table that is no UTF-8."""
    for number in range(len(batch)):
        for column in batch.column_names:
            try:
                batch[column][number].as_py()
            except UnicodeDecodeError:
                return Row({}, label, start + number + 1).wrong(column, "invalid UTF-8")
    raise AssertionError("all texts can be read")


def _csv_rows(path: Path, label: str) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)  # what is too long for a task is said by the task, with row and column
    with open_text(path) as file:
        reader = csv.DictReader(file, restkey="", strict=True)
        try:
            for number, values in enumerate(reader, 1):
                if "" in values or None in values.values():
                    raise ConfigError(f"{label}, row {number}: not as many fields as the header has columns")
                yield Row(values, label, number)
        except csv.Error as error:
            raise ConfigError(f"{label}, line {reader.line_num}: {error}") from None


def _json_rows(path: Path, label: str) -> Iterator[Row]:
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            try:
                values = json.loads(line)
            except ValueError as error:
                raise ConfigError(f"{label}, row {number}: no JSON ({error})") from None
            if not isinstance(values, dict):
                raise ConfigError(f"{label}, row {number}: expected an object with columns, found {line.strip()[:40]}")
            yield Row(values, label, number)


_READERS: dict[str, Callable[[Path, str], Iterator[Row]]] = {
    "csv": _csv_rows, "jsonl": _json_rows, "parquet": _parquet_rows
}  # fmt: skip


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """A text file, plain, .gz or .zst. Bytes that are no UTF-8 become lone surrogates: see `Row.text`. Raises
    ConfigError where the file is cut off or otherwise broken."""
    try:
        with _opened(path) as file:
            yield io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    except (EOFError, OSError, zlib.error) as error:
        raise ConfigError(f"{path} is no whole {path.suffix} file ({error}): get it again") from None


def _opened(path: Path) -> Any:
    if path.suffix == ".gz":
        return gzip.open(path)
    return io.BufferedReader(_Unzstd(path.open("rb"))) if path.suffix == ".zst" else path.open("rb")


class _Unzstd(io.RawIOBase):
    """The content of a .zst file. Unlike the reader of `zstandard` it does not take a file that was cut off for one
    that ends."""

    def __init__(self, file: IO[bytes]):
        from zstandard import ZstdDecompressor, ZstdError

        self._file, self._read, self._inflated = file, b"", b""
        self._frame, self._new_frame, self._broken = None, lambda: ZstdDecompressor().decompressobj(), ZstdError

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._inflated and (chunk := self._read or self._file.read(1 << 16)):
            self._frame = self._frame or self._new_frame()
            try:
                self._inflated = self._frame.decompress(chunk)
            except self._broken as error:
                raise EOFError(str(error)) from None
            self._read = self._frame.unused_data
            if self._frame.eof:  # a file may have many frames: pzstd makes them
                self._frame = None
        if not self._inflated and self._frame:
            raise EOFError("it ends within a frame")
        n = min(len(buffer), len(self._inflated))
        buffer[:n], self._inflated = self._inflated[:n], self._inflated[n:]
        return n

    def close(self) -> None:
        self._file.close()
        super().close()


def checksum(path: Path | str) -> str:
    """SHA-256 of a file. Raises ConfigError where there is none."""
    try:
        stat = Path(path).stat()
    except OSError:
        raise ConfigError(f"no file {path}") from None
    return _checksum(str(path), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=256)
def _checksum(path: str, mtime_ns: int, size: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
