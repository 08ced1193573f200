"""Where a sweep came from: what it was asked, when and on what it ran, what it cost."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from w2sweep.engine import record
from w2sweep.results.sweep_folder import SweepFolder

CONFIG = "config.yaml"
"""Beside `sweep.json`: what the sweep's first cell is made of."""
UNKNOWN = "not recorded"
SHOWN = ("w2sweep", "torch", "transformers", "python")
"""The programs whose versions a page tells."""


@dataclass(frozen=True)
class Provenance:
    """A sweep's folder, and the records of its stages, as far as the store is at hand."""

    sweep: SweepFolder

    @cached_property
    def store(self) -> Path:
        """Where the sweep's stages lie, or lay. A relative path is one of the working folder."""
        return Path(self.sweep.plan.get("store") or self.sweep.results[0].store)

    @cached_property
    def records(self) -> dict[str, dict[str, Any]]:
        """Name of a stage -> what its record says, of those that have one here."""
        found = {name: record.read(self.store / name) for name in self.sweep.plan.get("stages", {})}
        return {name: said for name, said in found.items() if said}

    def link(self, stage: str) -> str:
        """The path of a stage from the report's folder; empty where the store is not here."""
        if not (self.store / stage).is_dir():
            return ""
        return Path(os.path.relpath(self.store / stage, self.sweep.path / "report")).as_posix()

    def tracked(self, name: str) -> str:
        """The address of the run of a stage, or of a cell's folder, in W&B; empty where nobody has
        recorded one."""
        url = self.sweep.urls.get(name) or str(self._computed(name).get("url", ""))
        return url if url.startswith(("https://", "http://")) else ""

    @property
    def config(self) -> str:
        """The resolved configuration, as YAML; empty where it was not kept."""
        file = self.sweep.path / CONFIG
        return file.read_text(encoding="utf-8") if file.is_file() else ""

    @property
    def lines(self) -> list[tuple[str, str]]:
        """What a page says of it: name, value."""
        computed = [self._computed(name) for name in self.records]
        started = self.sweep.plan.get("started")
        return [
            ("started", _date(started) if started else UNKNOWN),
            ("duration", self._duration),
            ("cost", self._cost),
            ("host", _distinct(self._hosts)),
            ("device", _distinct(map(_device, computed))),
            ("precision", _distinct(_of(computed, "precision"))),
            ("versions", _distinct(map(_versions, self._environments))),
            ("git commit", _distinct(map(_commit, self._environments))),
            ("store", str(self.store)),
        ]

    def _computed(self, stage: str) -> Mapping[str, Any]:
        found = self.records.get(stage, {}).get("computed")
        return found if isinstance(found, Mapping) else {}

    @property
    def _hosts(self) -> list[str]:
        hosts = [str(said["host"]) for said in self.records.values() if "host" in said]
        return [str(self.sweep.plan["host"]), *hosts] if "host" in self.sweep.plan else hosts

    @property
    def _environments(self) -> list[Mapping[str, Any]]:
        """That of the sweep's own process, then those of its stages."""
        told = [said.get("environment") for said in (self.sweep.plan, *self.records.values())]
        return [each for each in told if isinstance(each, Mapping)]

    @property
    def _of_this_run(self) -> list[dict[str, Any]]:
        since = self.sweep.plan.get("started") or float("inf")
        return [said for said in self.records.values() if said.get("started", 0.0) >= since]

    @property
    def _duration(self) -> str:
        """From the sweep's last start to the end of the last stage that was run for it."""
        if "started" not in self.sweep.plan or not self.records:
            return UNKNOWN
        ran = self._of_this_run
        if not ran:
            return "nothing was run: all was answered from the store"
        end = max(said["started"] + said.get("seconds", 0.0) for said in ran)
        return _time(end - self.sweep.plan["started"])

    @property
    def _cost(self) -> str:
        if not self.records:
            return UNKNOWN
        whole, own = _seconds(self.records.values()), _seconds(self._of_this_run)
        said = f"{whole:,.0f} stage-seconds ({_time(whole)}) of {len(self.records)} stages"
        there = len(self.records) - len(self._of_this_run)
        return (
            f"{said}, of which {own:,.0f} in this run; {there} stages were there" if there else said
        )


def _seconds(records: Iterable[Mapping[str, Any]]) -> float:
    return sum(said.get("seconds", 0.0) for said in records)


def _date(since: float) -> str:
    return datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _of(said: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return [str(each[key]) for each in said if key in each]


def _device(computed: Mapping[str, Any]) -> str:
    return " · ".join(str(computed[key]) for key in ("device", "processor") if key in computed)


def _versions(environment: Mapping[str, Any]) -> str:
    found = environment.get("versions", {})
    return ", ".join(f"{name} {found[name]}" for name in SHOWN if name in found)


def _commit(environment: Mapping[str, Any]) -> str:
    found = environment.get("commits", {}).get("w2sweep", {})
    changed = " with changes" if found.get("changed") else ""
    return f"{found['commit'][:12]}{changed}" if "commit" in found else ""


def _distinct(said: Iterable[str]) -> str:
    return "; ".join(filter(None, dict.fromkeys(said))) or UNKNOWN
