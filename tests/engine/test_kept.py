"""What a process keeps of what it has read."""

from __future__ import annotations

from w2sweep.engine.kept import Kept


def asked(kept: Kept[str], *keys: str) -> list[str]:
    """The keys whose values had to be made. A value is as large as its key is long."""
    made: list[str] = []
    for key in keys:

        def make(key: str = key) -> str:
            made.append(key)
            return key.upper()

        assert kept.get(key, make, len) == key.upper()
    return made


def test_what_is_asked_for_again_is_not_made_again():
    assert asked(Kept(4), "aa", "bb", "aa", "bb") == ["aa", "bb"]


def test_what_was_not_asked_for_longest_makes_room():
    assert asked(Kept(4), "aa", "bb", "aa", "cc", "aa", "bb") == ["aa", "bb", "cc", "bb"]


def test_room_is_counted_by_size_and_not_by_number():
    assert asked(Kept(4), "a", "b", "c", "d", "a", "eee", "d", "a") == [*"abcd", "eee", *"da"]


def test_what_is_larger_than_all_the_room_is_not_kept():
    kept = Kept[str](4)
    assert asked(kept, "aaaaa", "aaaaa") == ["aaaaa", "aaaaa"]
    assert asked(kept, "bb", "bb") == ["bb"]
