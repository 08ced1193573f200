"""Remarks: what is added to a text to tell its reader how somebody labels it."""

from __future__ import annotations

from collections import Counter

from w2sweep.tasks.source import Names
from w2sweep.values import ConfigError, value


@value
class Remark:
    """A sentence behind a text that names a class. Burns et al. 2023, appendix E.3."""

    text: str
    """Added as it stands; `{}` is where the class is named."""
    names: Names
    """What the classes are called, in their order."""

    def __post_init__(self) -> None:
        if "{}" not in self.text:
            raise ConfigError(
                f"remark.text: found '{self.text}', expected a sentence with {{}} in it, where the "
                "class is named"
            )
        name, times = Counter(self.names).most_common(1)[0] if self.names else ("", 2)
        if times > 1:
            raise ConfigError(f"remark.names: two classes are called '{name}': give each its own")

    def behind(self, text: str, label: int) -> str:
        """The text with a remark that it is of class `label`."""
        return text + self.text.replace("{}", self.names[label])
