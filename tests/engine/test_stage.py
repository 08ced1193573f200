"""What a stage is known by: equal values have one key, on any machine, on any day."""

from __future__ import annotations

import copy
import dataclasses
import gc
import importlib
import json
import math
import pickle
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pydantic
import pytest
from arithmetic import Number, Sum

import w2sweep
from w2sweep.engine import stage as stage_module
from w2sweep.engine.source_code import source
from w2sweep.engine.stage import Stage, closure, identity, public_name
from w2sweep.values import named, value


@value
class Speed:
    per_second: float
    unit: str = "Hz"


def test_equal_values_have_one_identity():
    expected = {"is": f"{__name__}.Speed", "per_second": 1.0, "unit": "Hz"}
    assert identity(Speed(1)) == identity(Speed(1.0))
    assert identity(Speed(1)) == {**expected, "source": source(Speed)}
    assert identity({"b": (1, 2), "a": None}) == {"a": None, "b": [1, 2]}
    assert Number(3).key == Number(3).key != Number(4).key
    assert len(Number(3).key) == 16
    assert Number(3).name == f"{Number.__module__}.Number/{Number(3).key}"


@pytest.mark.parametrize(
    "x", [math.nan, math.inf, Path("/data"), print, {1, 2}, b"x", object(), {1: 2}, Speed]
)
def test_what_has_no_stable_identity_is_refused(x: Any):
    for held in (x, [x], {"k": x}):
        with pytest.raises(TypeError, match="no stable identity: use finite numbers"):
            identity(held)


def test_a_value_may_answer_for_itself():
    @dataclass(frozen=True)
    class File:
        path: Path

        def identity(self) -> str:
            return "digest of its content"

    assert identity(File(Path("/here"))) == identity(File(Path("/there")))


def test_a_new_version_is_another_stage():
    class Newer(Number):
        version: ClassVar[int] = 2

    Newer.__qualname__ = Number.__qualname__
    assert Newer(1).key != Number(1).key


def test_a_field_added_later_counts_only_off_its_default():
    @dataclass(frozen=True)
    class Old(Stage[None]):
        a: int

    @value
    class New(Stage[None]):
        a: int
        b: int = 5
        c: pydantic.PositiveInt = pydantic.Field(default=6)
        d: tuple[int, ...] = field(default_factory=lambda: (1, 2))
        added: ClassVar[frozenset[str]] = frozenset({"b", "c", "d"})

    New.__qualname__ = Old.__qualname__
    assert identity(New(1)) == identity(Old(1))
    different = [New(1), New(1, b=6), New(1, c=7), New(1, d=(1,)), New(1, d=(1, 3))]
    assert len({stage.key for stage in different}) == len(different)


def test_what_a_value_is_called_by_is_no_part_of_it():
    @value
    class Titled:
        n: int
        title: str = named(default="")

    assert identity(Titled(1, title="one")) == identity(Titled(1, title="uno"))
    assert identity(Titled(1)).keys() == {"is", "source", "n"}


def test_a_class_of_the_package_may_move_and_a_users_own_keeps_its_path():
    @dataclass(frozen=True)
    class Answer(Stage[int]):
        n: int

    def key(module: str) -> str:
        Answer.__module__ = module
        return Answer(42).key

    own = {key("study.stages"), key("study.other"), key("w2sweeper.stages")}
    assert len(own) == 3
    assert key("w2sweep.here") == key("w2sweep.there.deeper") not in own
    assert public_name(Answer) == "Answer"


def test_a_stage_of_the_very_same_values_is_the_very_same_stage():
    speed, equal = Speed(1), Speed(1)

    @dataclass(frozen=True)
    class Race(Stage[None]):
        of: object
        seconds: float = 1.0
        over: tuple[Any, ...] = ()

    race = Race(speed)
    assert Race(speed) is race
    assert Race(equal) is not race
    assert Race(equal).key == race.key
    assert Race(speed, 2) is not Race(speed, 2.0)
    assert Race(1) is not Race(True)
    assert Race("1.0", over=(1.0,)) is not Race("1.0", over=("1.0",))
    assert Race(race, over=(speed, 2)) is Race(race, over=(speed, 2))
    assert Race(race, over=(speed, 2)) is not Race(race, over=(equal, 2))
    assert dataclasses.replace(race, seconds=3.0).seconds == 3.0
    assert race.seconds == 1.0


def test_a_copied_stage_is_as_good_as_the_first():
    for copied in (pickle.loads(pickle.dumps(Number(3))), copy.deepcopy(Number(3))):
        assert copied == Number(3)
        assert copied.key == Number(3).key


def test_stages_that_nobody_holds_are_forgotten():
    before = len(stage_module._MADE)
    keys = {Number(n).key for n in range(1000)}
    assert len(keys) == 1000
    gc.collect()
    assert len(stage_module._MADE) < before + 100


def test_public_names_are_unique():
    found: dict[str, set[str]] = {}
    for cls in package_classes():
        if dataclasses.is_dataclass(cls) or issubclass(cls, Stage):
            found.setdefault(public_name(cls), set()).add(cls.__module__)
    assert "Finetune" in found
    assert {name: modules for name, modules in found.items() if len(modules) > 1} == {}


def package_classes() -> Iterator[type]:
    """All classes that the modules of the package define."""
    for module in pkgutil.walk_packages(w2sweep.__path__, "w2sweep."):
        defined = vars(importlib.import_module(module.name)).values()
        for x in defined:
            if isinstance(x, type) and x.__module__ == module.name:
                yield x


def test_inputs_are_found_wherever_they_are():
    @dataclass(frozen=True)
    class Mixture:
        parts: tuple[Stage[int], ...]
        weights: dict[str, Stage[int]]

    @dataclass(frozen=True)
    class Mixed(Stage[int]):
        mixture: Mixture
        other: Stage[int] | None

    one, two, three = Number(1), Number(2), Number(3)
    assert Mixed(Mixture((one,), {"w": two}), three).inputs == [one, two, three]


def test_a_deep_graph_costs_one_visit_a_stage():
    top: Stage[int] = Number(1)
    for _ in range(50):  # along all paths it would be 2^50 stages
        top = Sum((top, top))
    assert len(closure((top,))) == 51


def test_keys_do_not_depend_on_the_process():
    assert dataclasses.replace(Number(3), n=4).key == Number(4).key
    # what is hashed: another hash would lose everyone's results
    text = '{"is":"a.B","x":1}'

    @dataclass(frozen=True)
    class B(Stage[None]):
        x: int

    B.__module__, B.__qualname__ = "a", "B"
    assert json.dumps(identity(B(1)), separators=(",", ":")) == text
    assert B(1).key == "51cb33a87c63733c"
