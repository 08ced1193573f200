"""Rules: the first that matches a stage by its type and size says what it is given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from w2sweep.engine.resources import Rule, rule_of
from w2sweep.engine.stage import Stage, public_name
from w2sweep.values import ConfigError


@dataclass(frozen=True)
class Sized(Stage[Path]):
    parameters: int

    @property
    def size(self) -> int:
        return self.parameters

    def read(self, path: Path) -> Path:
        return path


OTHERS = {"small": Rule(up_to=1000, pack=8), "large": Rule(gpus=8)}


def test_the_first_rule_that_matches_wins():
    of_type = {"own": Rule(types=(public_name(Sized),), up_to=10), **OTHERS}
    found = [rule_of(Sized(n), of_type) for n in (10, 11, 1000, 1001)]
    assert found == ["own", "small", "small", "large"]


def test_rules_of_other_types_do_not_match():
    rules = {"splits": Rule(types=("Splits",)), **OTHERS}
    assert rule_of(Sized(5), rules) == "small"


def test_a_stage_without_a_rule_is_refused_before_anything_runs():
    with pytest.raises(ConfigError, match=r"no rule matches .* of 2e\+03 parameters.*add one"):
        rule_of(Sized(2000), {"small": OTHERS["small"]})


def test_rules_know_nothing_that_is_no_field():
    with pytest.raises(Exception, match="gpu"):
        replace(Rule(), gpu=1)
