"""Remarks: what is added to a text to tell its reader how somebody labels it."""

from __future__ import annotations

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
                f"text: found '{self.text}', expected a sentence with {{}} in it, where the "
                "class is named"
            )
        if len(self.names) < 2 or len(set(self.names)) < len(self.names) or "" in self.names:
            found = ", ".join(map(repr, self.names)) or "nothing"
            raise ConfigError(f"names: found {found}, expected a name of its own for each class")

    def behind(self, text: str, label: int) -> str:
        """The text with a remark that it is of class `label`."""
        return text + self.text.replace("{}", self.names[label])
