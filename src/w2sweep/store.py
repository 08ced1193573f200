"""Results of stages, addressed by what they were computed from; any number of workers may share one store."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Stage(Generic[T]):
    """A computation whose result depends on its fields and on nothing else.

    Fields are plain values, frozen dataclasses, or other stages (its inputs). How a stage is run
    (devices, workers, logging) never is a field: that comes with the store.
    """

    version: ClassVar[int] = 1  # raise it when a change of the code changes the result

    def run(self, out: Path, store: Store) -> None:
        """Writes the result into the empty directory `out`. Its inputs are in `store` already."""
        raise NotImplementedError

    @property
    def inputs(self) -> list[Stage]:
        values = [getattr(self, f.name) for f in dataclasses.fields(self)]
        return [v for v in values if isinstance(v, Stage)]

    @property
    def key(self) -> str:
        text = json.dumps(identity(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def identity(x: Any) -> Any:
    """What `x` is, as canonical JSON."""
    if dataclasses.is_dataclass(x):
        fields = {f.name: identity(getattr(x, f.name)) for f in dataclasses.fields(x)}
        version = {"version": x.version} if isinstance(x, Stage) else {}
        return {"is": type(x).__qualname__, **version, **fields}
    if isinstance(x, list | tuple):
        return [identity(v) for v in x]
    if isinstance(x, dict):
        return {str(k): identity(v) for k, v in x.items()}
    if isinstance(x, str | int | float | bool | None):
        return x
    raise TypeError(f"a {type(x).__name__} has no stable identity, so no stage may hold it: {x!r}")


def closure(stages: tuple[Stage, ...]) -> list[Stage]:
    """These stages and all they read, each once, inputs before their readers."""
    found: dict[str, Stage] = {}

    def visit(stage: Stage) -> None:
        if stage.key not in found:
            for s in stage.inputs:
                visit(s)
            found[stage.key] = stage

    for stage in stages:
        visit(stage)
    return list(found.values())


class Store:
    """Directories `root/<stage name>/<key>/`. Each appears whole, by one rename, or not at all."""

    def __init__(self, root: Path | str, lease_s: float = 600.0, poll_s: float = 5.0):
        self.root, self.lease_s, self.poll_s = Path(root), lease_s, poll_s

    def path(self, stage: Stage) -> Path:
        return self.root / type(stage).__name__ / stage.key

    def done(self, stage: Stage) -> bool:
        return self.path(stage).is_dir()

    def ensure(self, *stages: Stage) -> None:
        """Runs what is missing of these stages and their inputs, sharing the work with other workers.

        A lease is held while computing, never while waiting, so workers cannot deadlock; a worker
        waits only when all it still needs is in other hands.
        """
        while todo := [s for s in closure(stages) if not self.done(s)]:
            ready = [s for s in todo if all(self.done(i) for i in s.inputs)]
            if not any(self._try(s) for s in ready):
                time.sleep(self.poll_s)

    def _try(self, stage: Stage) -> bool:
        with self._lease(stage) as ours:
            if ours and not self.done(stage):  # it may have been finished between our look and our claim
                self._run(stage)
            return ours

    def _run(self, stage: Stage) -> None:
        path = self.path(stage)
        for dead in path.parent.glob(f".{path.name}.*"):  # left by a worker that died: the lease is ours now
            shutil.rmtree(dead, ignore_errors=True)
        work = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        work.mkdir()
        try:
            started = time.time()
            stage.run(work, self)
            record = {"stage": identity(stage), "host": socket.gethostname(), "seconds": time.time() - started}
            (work / "stage.json").write_text(json.dumps(record, indent=2))
            os.rename(work, path)
        except OSError:
            if not self.done(stage):  # a twin, its lease lapsed, may have committed first: same key, same result
                raise
        finally:
            shutil.rmtree(work, ignore_errors=True)

    @contextlib.contextmanager
    def _lease(self, stage: Stage) -> Iterator[bool]:
        """Whether this worker may run `stage` now.

        Lease n is the file `<key>.lease.<n>`, made with O_EXCL and touched while its owner works. The
        highest n rules; once it is released, or untouched for `lease_s` (its owner died), anyone may
        make n+1. Numbers only grow: were leases deleted, a slow claim could revive an old number.
        """
        path = self.path(stage)
        path.parent.mkdir(parents=True, exist_ok=True)
        leases = [(int(p.suffix[1:]), p.stat().st_mtime) for p in path.parent.glob(f"{path.name}.lease.*")]
        n, touched = max(leases, default=(0, 0.0))
        lease = path.parent / f"{path.name}.lease.{n + 1}"
        try:
            if time.time() - touched < self.lease_s:
                raise FileExistsError
            os.close(os.open(lease, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            yield False
            return
        released = threading.Event()

        def keep() -> None:
            while not released.wait(self.lease_s / 10):
                os.utime(lease)

        keeper = threading.Thread(target=keep, daemon=True)
        keeper.start()
        try:
            yield True
        finally:
            released.set()
            keeper.join()
            os.utime(lease, (0, 0))
