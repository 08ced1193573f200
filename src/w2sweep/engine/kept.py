"""What a process keeps of what it has read, for a later stage that reads the same."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """The values of the keys that were asked for last. They are shared by all who ask, and so
    nobody may change them.

    Args:
        room: how large all of them together may be, in whatever unit sizes are told in.
    """

    def __init__(self, room: int):
        self.room = room
        self._found: dict[Hashable, tuple[T, int]] = {}
        """The key that was asked for last stands last."""
        self._taken = 0

    def get(self, key: Hashable, make: Callable[[], T], size: Callable[[T], int]) -> T:
        """The value of a key: the one that is kept, or else what `make` returns, of which `size`
        tells how large it is. What was not asked for longest makes room; what is larger than all
        the room is not kept."""
        kept = self._found.pop(key, None)
        if kept is None:
            value = make()
            kept = value, size(value)
            self._taken += kept[1]
        self._found[key] = kept
        while self._taken > self.room:
            self._taken -= self._found.pop(next(iter(self._found)))[1]
        return kept[0]
