"""Users' own files: labelled texts, pairs and completions, and one line for each mistake."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import toys
from omegaconf import OmegaConf

from w2sweep.building import build
from w2sweep.experiment.backbone import Tokenizer
from w2sweep.experiment.cell import Cell
from w2sweep.experiment.ladder import Ladder
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.methods import Naive
from w2sweep.experiment.splitting import split
from w2sweep.interface.data_command import composed
from w2sweep.sweep.comparison import run
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Choice, Completion, Reward
from w2sweep.tasks.own_file import OwnFile
from w2sweep.values import ConfigError


def own(path: Path, content: str | bytes, name: str = "my.csv", **options: object) -> OwnFile:
    (path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    format = name.rpartition(".")[2]
    return OwnFile(name="mine", path=str(path / name), format=format, **options)  # type: ignore[arg-type]


def test_labelled_texts(tmp_path: Path):
    task = own(
        tmp_path,
        "review,verdict,author\nGreat.,good,a\nAwful.,bad,a\n",
        text="review",
        label="verdict",
        group="author",
        classes=("bad", "good"),
    )
    first, second = (e for e in task.examples() if isinstance(e, Example))
    assert (first.views, first.label, second.label) == (("Great.",), 1, 0)
    assert first.group == second.group
    assert (task.family, task.head) == ("nlp", Choice(2))
    assert list(task.corpus.documents()) == ["Great.", "Awful."]


def test_classes_may_be_written_as_numbers_and_rows_without_a_group_are_groups_of_their_own(
    tmp_path: Path,
):
    task = own(
        tmp_path, "text,label,by\na b,0,\nc d,1,\ne f,1,x\ng h,0,x\n", classes=(0, 1), group="by"
    )
    examples = [e for e in task.examples() if isinstance(e, Example)]
    assert [e.label for e in examples] == [0, 1, 1, 0]
    assert len({e.group for e in examples}) == 3


def test_pairs(tmp_path: Path):
    row = {"prompt": "Hi. ", "chosen": "Hello.", "rejected": "Go away."}
    task = own(tmp_path, json.dumps(row), "my.jsonl")
    [example] = task.examples()
    assert isinstance(example, Example)
    assert isinstance(example.label, int)
    assert example.views[example.label] == "Hi. Hello."
    assert (task.family, task.head) == ("reward", Reward())


def test_completions(tmp_path: Path):
    task = own(tmp_path, "prompt,completion\n2 + 2 =,4\n", max_new_tokens=3)
    [example] = task.examples()
    assert isinstance(example, Example)
    assert (example.views, example.label) == (("2 + 2 =",), " 4")
    assert task.head == Completion(3)


LABELLED = "text,label\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "body,label\na,1\n",
            r"my.csv has the columns body, label; expected text, label \(task.text=...",
        ),
        (
            LABELLED + "a,1\nb,maybe\n",
            r"my.csv, row 2, column 'label': found 'maybe', expected one of 0, 1 \(task.classes",
        ),
        (LABELLED + "a,1\nb,\n", r"my.csv, row 2, column 'label': found ''"),
        (LABELLED + "a,1\n ,0\n", r"my.csv, row 2, column 'text': empty text"),
        (
            LABELLED + "a,1\n" + 1_000_000 * "x" + ",0\n",
            r"my.csv, row 2, column 'text': 1,000,000 characters",
        ),
        (LABELLED.encode() + b"a,1\ncaf\xe9,0\n", r"my.csv, row 2, column 'text': invalid UTF-8"),
        (
            "prompt,chosen,rejected\nHi,a,b\nHi,a, a\n",
            r"my.csv, row 2, column 'rejected': the same as 'chosen'",
        ),
        ("text,label\n", r"my.csv has no rows"),
        (
            "text,label\na,1\nb,1\nc,1\n",
            r"my.csv, column 'label': all labels are of class 1, but two",
        ),
        ("text,label\na,1\nb,1\nc,1\nd,1\ne,0\n", r"split '\w+' is empty: its groups have"),
        ("text,label,group\na,1,x\nb,0,x\n", r"the examples form 1 groups"),
    ],
)
def test_bad_input_is_said_in_one_line(tmp_path: Path, content: str | bytes, message: str):
    group = (
        "group"
        if b"group" in (content if isinstance(content, bytes) else content.encode())
        else None
    )
    task = own(tmp_path, content, group=group)
    with pytest.raises(ConfigError, match=message) as error:
        split(task.examples(), composed("csv", [f"task.path={tmp_path / 'my.csv'}"])[1], 0)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("names", [("yes", "yes"), ("a", "b", "a"), ()])
def test_one_class_has_no_two_names(names: tuple[str, ...]):
    with pytest.raises(ConfigError, match=r"classes: found .*, expected two different names"):
        OwnFile(name="mine", path="my.csv", format="csv", classes=names)


def of_classes(folder: Path, given: str, *labels: str) -> list[int | str]:
    """The labels of a file whose classes a YAML file gives."""
    lines = [f"text {n},{label}\n" for n, label in enumerate(labels)]
    (folder / "my.csv").write_text("text,label\n" + "".join(lines))
    written = OmegaConf.to_container(OmegaConf.create(f"classes: {given}"))
    assert isinstance(written, dict)
    node = {
        "_target_": "w2sweep.tasks.own_file.OwnFile",
        "name": "mine",
        "path": str(folder / "my.csv"),
        "format": "csv",
        "classes": written["classes"],
    }
    task = build(node, "task")
    return [e.label for e in task.examples() if isinstance(e, Example)]


@pytest.mark.parametrize(
    ("given", "labels"),
    [
        ("[no, yes]", ("no", "yes")),
        ("[no, yes]", ("False", "True")),
        ('["no", "yes"]', ("No", "yes")),
        ("[off, on]", ("off", "on")),
        ("[false, true]", ("false", "TRUE")),
        ('["no", maybe, "yes"]', ("no", "maybe", "yes")),
        ("[0, 1]", ("0", "1")),
        ("[1.0, 2.0]", ("1", "2")),
    ],
)
def test_classes_mean_what_is_written_in_yaml(tmp_path: Path, given: str, labels: tuple[str, ...]):
    assert of_classes(tmp_path, given, *labels) == list(range(len(labels)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("null", r"task.classes: found None \(NoneType\), expected"),
        ("5", r"task.classes: found 5 \(int\), expected"),
        ("bad", r"task.classes: found 'bad' \(str\), expected"),
        ("[bad, null]", r"task.classes.1: found None \(NoneType\), expected"),
        ("[[bad], good]", r"task.classes.0: found \('bad',\) \(tuple\), expected"),
        ("[bad, good, best]", "no label is best: name only the classes that are there"),
        ('["no", "false", "yes"]', r"found 'off', expected one of no, false, yes"),
    ],
)
def test_classes_that_are_none_are_refused(tmp_path: Path, given: str, message: str):
    with pytest.raises(ConfigError, match=message) as error:
        of_classes(tmp_path, given, *(("off",) if "false" in given else ("bad", "good")))
    assert "\n" not in str(error.value)


def test_numbers_that_a_data_frame_made_of_labels_are_labels(tmp_path: Path):
    """A column of whole numbers with a gap is one of floats."""
    rows = [{"text": f"text {n}", "label": float(n % 2)} for n in range(2)]
    task = own(tmp_path, "\n".join(map(json.dumps, rows)), "my.jsonl")
    assert [e.label for e in task.examples() if isinstance(e, Example)] == [0, 1]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "the path of a file is empty"),
        (".", "is a folder: give the path of a file"),
        ("my.csv/inside", "no file"),
        ("a\0b.csv", "cannot be read"),
        ("/dev/null", "is no ordinary file"),
    ],
)
def test_what_is_no_file_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, message: str
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.csv").write_text("text,label\na,0\nb,1\n")
    task, *_ = composed("csv", ["task.path=my.csv"])
    assert isinstance(task, OwnFile)
    with pytest.raises(ConfigError, match=message):
        _ = replace(task, path=path).head


def test_there_must_be_room_for_a_prompt(tmp_path: Path):
    task = own(tmp_path, "prompt,completion\nhow?,so\n", max_new_tokens=22)
    with pytest.raises(ConfigError, match=r"max_new_tokens=22 leaves no room for a prompt in the"):
        toys.cell(task)  # of which the models read 24 tokens
    assert toys.cell(replace(task, max_new_tokens=21)).student


def test_identity_is_the_content_and_how_it_is_read(tmp_path: Path):
    task = own(tmp_path, LABELLED + "a,1\n")
    moved = own(tmp_path, LABELLED + "a,1\n", "moved.csv")
    changed = own(tmp_path, LABELLED + "a,0\n", "changed.csv")
    assert task.identity() == moved.identity() != changed.identity()
    assert task.identity() != own(tmp_path, LABELLED + "a,1\n", classes=("1", "0")).identity()


@pytest.mark.parametrize("name", ["csv", "jsonl", "parquet"])
def test_configurations(name: str):
    task, *_ = composed(
        name, [f"task.path=my.{name}", "task.classes=[no,yes]", "task.group=author"]
    )
    assert isinstance(task, OwnFile)
    assert (task.path, task.classes, task.group) == (f"my.{name}", ("no", "yes"), "author")


KINDS = {
    "labels": ("text,label\n", "the {noun} number {n} was here,{label}"),
    "pairs": ("prompt,chosen,rejected\n", "how was {n}?, a {noun}, an {other}"),
    "completions": ("prompt,completion\n", "{noun} {n} is,{label}"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_cell_is_trained_on_a_small_file(kind: str, tmp_path: Path):
    """Pretrained on its texts, supervisor, student and ceiling, with a tokenizer made from them."""
    header, row = KINDS[kind]
    nouns = ("sun", "mud")
    lines = [
        row.format(noun=nouns[n % 2], other=nouns[1 - n % 2], n=n, label=n % 2) for n in range(330)
    ]
    task = own(tmp_path, header + "\n".join(lines) + "\n", max_new_tokens=4)
    of = toys.setting(
        task,
        ladder=Ladder("mine", {"s": toys.rung(8), "l": toys.rung(16)}, Tokenizer("bpe", 300, 32)),
    )
    place = toys.place(task="mine", ladder="mine", family=task.family)
    one = Cell(of, Naive("naive", CrossEntropy()))
    assert run(one, place, toys.store(tmp_path / "store"), tmp_path / "cell")
    result = json.loads((tmp_path / "cell" / "cell.json").read_text())
    assert result["n_test"] == 64
    for role in ("supervisor", "student", "ceiling"):
        assert 0 <= result["models"][role]["accuracy"] <= 1
