"""The memory that a stage needs on each of its devices, from its configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from w2sweep.engine.runtime import Runtime
from w2sweep.engine.stage import Stage


@dataclass(frozen=True)
class Memory:
    """Bytes."""

    parameters: int = 0

    @property
    def total(self) -> int:
        return self.parameters


def memory(stage: Stage[Any], runtime: Runtime) -> Memory:
    """What the stage needs: 16 bytes a parameter in fp32 with AdamW."""
    return Memory(16 * stage.size)
