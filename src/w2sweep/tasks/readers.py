"""Files as rows: CSV, JSON lines and parquet, maybe compressed. A broken file is one line to read.

Errors name the file, the row and, where there is one, the column.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import IO, Any

from w2sweep.tasks.rows import Row, check_names
from w2sweep.values import ConfigError


def parquet_rows(path: Path, label: str, limit: int | None = None) -> Iterator[Row]:
    """The rows of a parquet file. Where it has more than `limit`, so many, evenly spread.

    Raises ConfigError where the file is broken.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            check_names(file.schema_arrow.names, label)
            yield from numbered_rows(file.iter_batches(1000), file.metadata.num_rows, label, limit)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0][:120]
        raise ConfigError(f"{path} is no whole parquet file ({reason}): get it again") from None


def numbered_rows(
    batches: Iterable[Any], n_rows: int, label: str, limit: int | None
) -> Iterator[Row]:
    """The `n_rows` rows of some Arrow tables, numbered from 1.

    Where there are more than `limit`, so many, evenly spread. Raises ConfigError where a text is
    no UTF-8.
    """
    kept = min(limit or n_rows, n_rows)
    start = 0
    for batch in batches:
        numbers = range(start, start + len(batch))
        # row n is kept where n * kept / n_rows passes a whole number
        wanted = [n - start for n in numbers if (n + 1) * kept // n_rows > n * kept // n_rows]
        taken = batch if len(wanted) == len(batch) else batch.take(wanted)
        try:
            rows = taken.to_pylist()
        except UnicodeDecodeError:
            raise _undecodable(batch, label, start) from None
        for i, row in zip(wanted, rows, strict=True):
            yield Row(row, label, start + i + 1)
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
    csv.field_size_limit(sys.maxsize)  # `Row.text` reports long texts, with row and column
    with open_text(path, newline="") as file:  # a quoted field may have line breaks of any kind
        reader = csv.DictReader(file, strict=True)
        try:
            names = [name for name in reader.fieldnames or () if name]
            check_names(names, label)
            for number, values in enumerate(reader, 1):
                if None in values or None in values.values():
                    what = "not as many fields as the header has columns"
                    raise ConfigError(f"{label}, row {number}: {what}")
                # a column without a name is the index that a data frame writes: nothing asks for it
                yield Row({name: values[name] for name in names}, label, number)
        except csv.Error as error:
            raise ConfigError(f"{label}, line {reader.line_num}: {error}") from None


def _json_rows(path: Path, label: str) -> Iterator[Row]:
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():  # blank lines are no rows, as in CSV
                continue
            try:
                values = json.loads(line, object_pairs_hook=_object)
            except (ValueError, RecursionError) as error:
                raise ConfigError(f"{label}, row {number}: no JSON ({error})") from None
            if not isinstance(values, dict):
                what = f"expected an object with columns, found {line.strip()[:40]}"
                raise ConfigError(f"{label}, row {number}: {what}")
            yield Row(values, label, number)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises ValueError where it has a key twice, of which one would be lost."""
    values = dict(pairs)
    if len(values) < len(pairs):
        [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"'{twice}' is there twice")
    return values


READERS: dict[str, Callable[[Path, str], Iterator[Row]]] = {
    "csv": _csv_rows,
    "jsonl": _json_rows,
    "parquet": parquet_rows,
}
"""What reads the rows of a file, by its format. The second argument is its name in messages."""


@contextmanager
def open_text(path: Path, newline: str = "\n") -> Iterator[IO[str]]:
    """A text file, maybe compressed (.gz, .zst), opened for reading.

    Lines end with "\\n" and with nothing else: a text may well have a line separator (U+2028) or a
    lone carriage return in it. `newline` is that of Python's `open`.
    Bytes that are no UTF-8 become lone surrogates, which `Row.sound` reports. Raises ConfigError
    where the file is cut off or otherwise broken.
    """
    try:
        with _opened(path) as file:
            yield io.TextIOWrapper(
                file, encoding="utf-8-sig", errors="surrogateescape", newline=newline
            )
    except (EOFError, OSError, zlib.error) as error:
        what = f"no whole {path.suffix} file ({error})"
        raise ConfigError(f"{path} is {what}: get it again") from None


def _opened(path: Path) -> Any:
    if path.suffix == ".gz":
        return gzip.open(path)
    if path.suffix == ".zst":
        return io.BufferedReader(_Unzstd(path.open("rb")))
    return path.open("rb")


class _Unzstd(io.RawIOBase):
    """The content of a .zst file.

    The reader of `zstandard` would take a file that was cut off for one that ends; this one raises
    EOFError.
    """

    def __init__(self, file: IO[bytes]):
        from zstandard import ZstdDecompressor, ZstdError

        self._file, self._compressed, self._inflated = file, b"", b""
        self._frame: Any = None
        self._new_frame = lambda: ZstdDecompressor().decompressobj()
        self._broken = ZstdError

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._inflated and (chunk := self._compressed or self._file.read(1 << 16)):
            self._inflate(chunk)
        if not self._inflated and self._frame:
            raise EOFError("it ends within a frame")
        n = min(len(buffer), len(self._inflated))
        buffer[:n], self._inflated = self._inflated[:n], self._inflated[n:]
        return n

    def close(self) -> None:
        self._file.close()
        super().close()

    def _inflate(self, chunk: bytes) -> None:
        self._frame = self._frame or self._new_frame()
        try:
            self._inflated = self._frame.decompress(chunk)
        except self._broken as error:
            raise EOFError(str(error)) from None
        self._compressed = self._frame.unused_data
        if self._frame.eof:  # a file may have many frames: pzstd makes them
            self._frame = None


def checksum(path: Path | str) -> str:
    """SHA-256 of a file, in hex. Raises ConfigError where there is none, or none to be read."""
    if not str(path):
        raise ConfigError("the path of a file is empty: give one")
    try:
        stat = Path(path).stat()
        if not S_ISREG(stat.st_mode):
            what = "a folder" if S_ISDIR(stat.st_mode) else "no ordinary file"
            raise ConfigError(f"{path} is {what}: give the path of a file")
        return _checksum(str(path), stat.st_mtime_ns, stat.st_size)
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(f"no file {path}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read ({error})") from None


@lru_cache(maxsize=256)
def _checksum(path: str, mtime_ns: int, size: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
