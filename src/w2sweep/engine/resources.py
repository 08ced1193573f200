"""Resources: what a stage is given on a cluster, by rules on its type and its size.

Rules change no result, so nothing here is part of an identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from w2sweep.engine.stage import Stage, public_name
from w2sweep.values import ConfigError, Count, Natural, Rate, as_tuple, value

Words = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]


@value
class Rule:
    """What the stages are given that match: those of the named types, up to a size."""

    types: Words = ()
    """Classes of stages, such as Finetune; none: all."""
    up_to: Rate | None = None
    """The largest size (`Stage.size`, parameters of the model that the stage runs); None: any."""
    cpus: Count = 1
    gpus: Natural = 0
    mem_gb: Rate | None = None
    """Main memory; None: what the cluster gives."""
    minutes: Count = 60
    """The longest time of one job. A stage that needs more goes on in the next from its
    checkpoint."""
    pack: Count = 1
    """Stages of one level that share a job and run in it one after the other."""
    overrides: Words = ()
    """Of keys that change no result, such as runtime.devices=8."""
    flops: Rate | None = None
    """What it computes a second, all devices together; for estimates of hours."""
    device_gb: Rate | None = None
    """Memory of each GPU; a plan marks the stages that need more."""
    dollars: Annotated[float, Field(ge=0)] = 0.0
    """What an hour costs, all devices together; for estimates."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Further options in the launcher's own words, such as a partition of Slurm."""

    def matches(self, stage: Stage[Any]) -> bool:
        """Whether the stage is of one of the types, and not too large."""
        of_type = not self.types or public_name(type(stage)) in self.types
        return of_type and (self.up_to is None or stage.size <= self.up_to)


def rule_of(stage: Stage[Any], rules: Mapping[str, Rule]) -> str:
    """The name of the first rule that matches. Raises ConfigError where none does."""
    for name, rule in rules.items():
        if rule.matches(stage):
            return name
    size = f" of {stage.size:.3g} parameters" if stage.size else ""
    raise ConfigError(
        f"hydra.launcher.resources: no rule matches {stage.what}{size} ({stage.name}): add one "
        "without types and without up_to at the end"
    )
