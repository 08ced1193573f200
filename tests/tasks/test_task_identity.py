"""What examples and documents do not depend on is no part of splits or of a corpus: all else is."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from w2sweep.engine.source_code import source
from w2sweep.engine.stage import identity
from w2sweep.experiment.backbone import Tokenizer
from w2sweep.experiment.splits import Sizes, Splits
from w2sweep.experiment.stages import Text
from w2sweep.tasks import nlp, reward
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Choice, Completion, Head
from w2sweep.tasks.nlp import Classification
from w2sweep.tasks.own_file import OwnFile
from w2sweep.tasks.puzzles import Puzzles
from w2sweep.tasks.rows import Formatter, Row
from w2sweep.tasks.source import File, HubDataset
from w2sweep.tasks.task import Corpus, Task, TaskTexts
from w2sweep.tasks.text_file import TextFile
from w2sweep.values import named, value

SIZES = Sizes(supervisor=8, student=8, validation=4, test=4)


def splits_key(task: Task) -> str:
    return Splits.of(task, SIZES, seed=0).key


def text_key(corpus: Corpus) -> str:
    return Text(corpus, Tokenizer("word", context=24)).key


@pytest.fixture
def puzzles(tmp_path: Path) -> Puzzles:
    (tmp_path / "puzzles.csv").write_text("PuzzleId,FEN,Moves\n")
    return Puzzles(name="puzzles", source=File(str(tmp_path / "puzzles.csv")))


@pytest.fixture
def games(tmp_path: Path) -> str:
    (tmp_path / "games.pgn").write_text("1. e4 e5 1-0\n")
    return str(tmp_path / "games.pgn")


NAMED = {"name": "other", "head": Completion(3)}


def with_games(given: dict[str, Any], games: str) -> dict[str, Any]:
    """The fields given, with `games` where they only say that there are any."""
    return given | {"games": games} if "games" in given else given


@pytest.mark.parametrize(
    ("given", "change"),
    [
        ({}, NAMED),
        ({}, {"min_elo": 1800}),
        ({}, {"per_game": 9}),
        ({}, {"games": ...}),
        ({"prompt": "fen"}, {"games": ...}),
        ({"prompt": "game", "games": ...}, {"min_elo": 1800}),
    ],
)
def test_puzzles_share_splits(puzzles: Puzzles, games: str, given: Any, change: Any):
    one = replace(puzzles, **with_games(given, games))
    assert splits_key(one) == splits_key(replace(one, **with_games(change, games)))


@pytest.mark.parametrize(
    ("given", "change"),
    [
        ({}, {"prompt": "fen"}),
        ({}, {"target": "uci"}),
        ({}, {"rating": (0, 1200)}),
        ({}, {"themes": ("short",)}),
        ({}, {"limit": 9}),
        ({"prompt": "game"}, {"games": ...}),
    ],
)
def test_puzzles_do_not_share_splits(puzzles: Puzzles, games: str, given: Any, change: Any):
    one = replace(puzzles, **with_games(given, games))
    assert splits_key(one) != splits_key(replace(one, **with_games(change, games)))


@pytest.mark.parametrize(
    ("given", "change"),
    [
        ({}, NAMED),
        ({}, {"min_elo": 1800}),
        ({}, {"per_game": 9}),
        ({"prompt": "game"}, {"target": "uci"}),
        ({"prompt": "game", "games": ...}, {"per_game": 9}),
    ],
)
def test_puzzles_share_a_corpus(puzzles: Puzzles, games: str, given: Any, change: Any):
    one = replace(puzzles, **with_games(given, games))
    other = replace(one, **with_games(change, games))
    assert text_key(one.corpus) == text_key(other.corpus)
    assert one.corpus == other.corpus


@pytest.mark.parametrize(
    ("given", "change"),
    [
        ({}, {"prompt": "fen"}),
        ({}, {"target": "uci"}),
        ({}, {"limit": 9}),
        ({}, {"rating": (0, 1200)}),
        ({}, {"games": ...}),
        ({"games": ...}, {"min_elo": 1800}),
        ({"games": ...}, {"per_game": 9}),
        ({"prompt": "game", "games": ...}, {"min_elo": 1800}),
    ],
)
def test_puzzles_do_not_share_a_corpus(puzzles: Puzzles, games: str, given: Any, change: Any):
    one = replace(puzzles, **with_games(given, games))
    other = replace(one, **with_games(change, games))
    assert text_key(one.corpus) != text_key(other.corpus)


LABELS, PAIRS = "text,label,by\na,0,x\n", "prompt,chosen,rejected,by\na,b,c,x\n"
COMPLETIONS = "prompt,completion,by\na,b,x\n"


def own_file(folder: Path, content: str, **fields: Any) -> OwnFile:
    (folder / "my.csv").write_text(content)
    path = str(folder / "my.csv")
    return OwnFile(**{"name": "mine", "path": path, "format": "csv", **fields})


@pytest.mark.parametrize(
    ("content", "change"),
    [
        (LABELS, {"name": "other"}),
        (LABELS, {"max_new_tokens": 3}),
        (LABELS, {"order_seed": 1}),
        (PAIRS, {"classes": ("no", "yes")}),
        (PAIRS, {"text": "t", "label": "l", "max_new_tokens": 3}),
        (COMPLETIONS, {"max_new_tokens": 3, "order_seed": 1, "label": "l"}),
    ],
)
def test_own_files_share_splits_and_corpus(tmp_path: Path, content: str, change: dict[str, Any]):
    one, other = own_file(tmp_path, content), own_file(tmp_path, content, **change)
    assert splits_key(one) == splits_key(other)
    assert text_key(one.corpus) == text_key(other.corpus)


@pytest.mark.parametrize(
    ("content", "change"),
    [
        (LABELS, {"text": "by"}),
        (LABELS, {"classes": ("1", "0")}),
        (LABELS, {"group": "by"}),
        (PAIRS, {"order_seed": 1}),
        (PAIRS, {"group": "by"}),
        (COMPLETIONS, {"group": "by"}),
    ],
)
def test_own_files_do_not_share_splits(tmp_path: Path, content: str, change: dict[str, Any]):
    one, other = own_file(tmp_path, content), own_file(tmp_path, content, **change)
    assert splits_key(one) != splits_key(other)


def test_own_files_are_their_content(tmp_path: Path):
    one = splits_key(own_file(tmp_path, LABELS))
    (tmp_path / "moved").mkdir()
    assert splits_key(own_file(tmp_path / "moved", LABELS)) == one
    assert splits_key(own_file(tmp_path, LABELS + "b,1,x\n")) != one


def hub_task(root: Path, label: int = 0, name: str = "a/b", **changes: Any) -> Classification:
    """A task of a dataset that lies in a folder of its own, with two splits."""
    folder = root / name / "default"
    folder.mkdir(parents=True, exist_ok=True)
    for split, text, its in (("train", "it is", label), ("test", "it was", 1)):
        table = pa.table({"sentence": [text], "label": [its]})
        pq.write_table(table, folder / f"{split}.parquet")
    splits = changes.pop("splits", ("train", "test"))
    source = HubDataset(name, splits, root=str(root), **changes)
    return Classification(name="task", source=source, format="w2sweep.tasks.nlp.cola")  # type: ignore[arg-type]


def test_a_dataset_in_a_folder_is_its_content(tmp_path: Path):
    one, moved = hub_task(tmp_path / "1"), hub_task(tmp_path / "2", name="c/d", aliases=("e",))
    assert splits_key(one) == splits_key(moved)
    assert text_key(one.corpus) == text_key(moved.corpus)
    assert splits_key(one) != splits_key(hub_task(tmp_path / "3", label=1))
    assert splits_key(one) != splits_key(hub_task(tmp_path / "1", limit=1))


def test_the_order_of_its_splits_is_the_order_of_the_documents(tmp_path: Path):
    one, other = hub_task(tmp_path), hub_task(tmp_path, splits=("test", "train"))
    assert list(one.corpus.documents()) == list(other.corpus.documents())[::-1]
    assert text_key(one.corpus) != text_key(other.corpus)


def test_a_dataset_on_the_hub_is_what_the_hub_knows_it_by():
    one = HubDataset("a/b", ("train",), config="c", revision="1" * 40)
    assert identity(one) == identity(replace(one, aliases=("b",)))
    changes: tuple[dict[str, Any], ...] = (
        {"dataset": "a/c"},
        {"config": None},
        {"splits": ("test",)},
        {"revision": "2" * 40},
    )
    for change in changes:
        assert identity(one) != identity(replace(one, **change))


def test_what_a_task_is_called_and_answered_by_changes_no_example(tmp_path: Path):
    one = hub_task(tmp_path)
    other = replace(one, name="other", head=Choice(init="zero"))
    assert splits_key(one) == splits_key(other)
    assert text_key(one.corpus) == text_key(other.corpus)
    assert splits_key(one) != splits_key(replace(one, format=f"{__name__}.shouted"))


def shouted(row: Row) -> nlp.Points:
    """A user's own formatter."""
    return nlp.point(row.text("sentence").upper(), nlp.whole(row, "label"))


def test_a_formatter_is_its_name_and_one_of_a_users_own_its_path():
    assert identity(Formatter("w2sweep.tasks.nlp.cola"))["identity"] == "cola"
    own = identity(Formatter(f"{__name__}.shouted"))["identity"]
    assert own == {"path": f"{__name__}.shouted", "source": source(shouted)}


def test_no_two_formatters_have_one_name():
    def formatters(module: Any) -> set[str]:
        functions = inspect.getmembers(module, inspect.isfunction)
        return {n for n, f in functions if list(inspect.signature(f).parameters) == ["row"]}

    assert len(formatters(nlp)) > 20
    assert not formatters(nlp) & formatters(reward)


@value
class Spoken(Task):
    """A user's own task."""

    family: ClassVar = "nlp"
    name: str = named(default="spoken")
    head: Head = named(default=Choice())
    word: str = "hello"
    volume: int = 3
    """Nothing that is written depends on it."""

    def examples(self) -> Iterator[Example]:
        yield Example.of(self.word, label=1)

    @property
    def corpus(self) -> Corpus:
        return TaskTexts(self)

    @property
    def for_examples(self) -> Spoken:
        return replace(self, volume=Spoken.volume)


def test_a_users_own_task_keeps_its_path():
    assert identity(Spoken())["is"] == f"{__name__}.Spoken"


def test_the_texts_of_a_task_depend_on_no_more_than_its_examples_do():
    quiet, loud = Spoken(), Spoken(volume=11)
    assert splits_key(quiet) == splits_key(loud)
    assert text_key(quiet.corpus) == text_key(loud.corpus)
    assert text_key(quiet.corpus) != text_key(Spoken(word="goodbye").corpus)


def test_a_text_file_is_its_content_and_how_it_is_read(tmp_path: Path):
    def written(name: str, content: str) -> str:
        (tmp_path / name).write_text(content)
        return text_key(TextFile(str(tmp_path / name)))

    assert written("a.txt", "1. e4 e5\n") == written("b.txt", "1. e4 e5\n")
    assert written("a.txt", "1. e4 e5\n") != written("b.txt", "1. d4 e5\n")
    assert written("a.txt", "1. e4 e5\n") != written("a.pgn", "1. e4 e5\n")
