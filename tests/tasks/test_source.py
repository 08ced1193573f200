"""Where rows come from: folders laid out as the hub, users' files, and messages of broken ones."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from pydantic import ValidationError
from toys import run, store

from w2sweep.engine.journal import Journal
from w2sweep.experiment.splits import Sizes, Splits
from w2sweep.tasks.own_file import OwnFile
from w2sweep.tasks.readers import checksum
from w2sweep.tasks.rows import LONGEST_TEXT
from w2sweep.tasks.source import File, HubDataset, _resolved
from w2sweep.tasks.text_file import TextFile
from w2sweep.values import ConfigError


def parquet(path: Path, **columns: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def test_a_folder_laid_out_as_the_hub(tmp_path: Path):
    for split, n in (("train", 3), ("validation", 2)):
        parquet(
            tmp_path / "nyu-mll" / "glue" / "cola" / f"{split}.parquet",
            sentence=list("abc")[:n],
            label=[0, 1, 0][:n],
        )
    source = HubDataset(
        "nyu-mll/glue", ("train", "validation", "test"), config="cola", root=str(tmp_path)
    )
    rows = list(source.rows())
    assert [dict(r) for r in rows[-2:]] == [
        {"sentence": "a", "label": 0},
        {"sentence": "b", "label": 1},
    ]
    assert (len(rows), rows[-1].number) == (5, 2)
    assert source.where() == f"nyu-mll/glue/cola (train, validation; no test) of {tmp_path}"


@pytest.mark.parametrize(
    "folder", ["google/boolq/default", "boolq/default", "google/boolq/plain_text"]
)
def test_default_and_only_configs_and_older_names(tmp_path: Path, folder: str):
    parquet(tmp_path / folder / "train.parquet", answer=[True])
    source = HubDataset("google/boolq", ("train",), aliases=("boolq",), root=str(tmp_path))
    assert [dict(r) for r in source.rows()] == [{"answer": True}]


@pytest.mark.parametrize("listed", ["allenai/piqa", "piqa"])
@pytest.mark.parametrize("config", [None, "plain_text", "default"])
def test_a_mirror_lists_other_names_and_files(tmp_path: Path, listed: str, config: str | None):
    parquet(tmp_path / "there.parquet", goal=["boil"])
    entry = {
        "aliases": ["ybisk/piqa"],
        "default_config": "default",
        "configs": {
            "default": {"hub_config": "plain_text", "splits": {"train": {"file": "there.parquet"}}}
        },
    }
    (tmp_path / "mirror.json").write_text(json.dumps({listed: entry}))
    source = HubDataset("ybisk/piqa", ("train", "validation"), config=config, root=str(tmp_path))
    assert [dict(r) for r in source.rows()] == [{"goal": "boil"}]


def test_another_config_or_split_is_never_taken_instead(tmp_path: Path):
    parquet(tmp_path / "aps" / "super_glue" / "wic" / "train.parquet", label=[0])
    for source in (
        HubDataset("aps/super_glue", ("train",), config="multirc", root=str(tmp_path)),
        HubDataset("aps/super_glue", ("validation",), config="wic", root=str(tmp_path)),
    ):
        with pytest.raises(
            ConfigError, match=r"data_root=.* of aps/super_glue \((multirc|wic)\), but .* is needed"
        ):
            list(source.rows())


def test_a_mirror_that_cannot_be_read_is_said(tmp_path: Path):
    (tmp_path / "mirror.json").write_text('{"a/b": ')
    with pytest.raises(ConfigError, match=r"mirror.json is no JSON .*: mend it, or remove it"):
        list(HubDataset("a/b", ("train",), root=str(tmp_path)).rows())


@pytest.mark.parametrize("listed", ["[]", '{"a/b": {}}', '{"a/b": {"configs": []}}', "null"])
def test_a_mirror_that_lists_something_else_is_said(tmp_path: Path, listed: str):
    (tmp_path / "mirror.json").write_text(listed)
    with pytest.raises(ConfigError, match=r"mirror.json does not list datasets as .*: mend it"):
        list(HubDataset("a/b", ("train",), root=str(tmp_path)).rows())


def test_identity_is_the_content_wherever_it_lies(tmp_path: Path):
    def source(folder: str, label: int) -> HubDataset:
        parquet(tmp_path / folder / "a" / "b" / "default" / "train.parquet", label=[label])
        return HubDataset("a/b", ("train",), root=str(tmp_path / folder))

    assert source("here", 1).identity() == source("there", 1).identity()
    assert source("here", 1).identity() != source("elsewhere", 0).identity()
    one, other = (HubDataset("a/b", ("train",), revision=40 * digit) for digit in "12")
    assert one.identity() != other.identity()


def test_of_millions_of_rows_some_are_taken_evenly(tmp_path: Path):
    parquet(tmp_path / "a" / "b" / "default" / "train.parquet", n=list(range(5000)))
    rows = list(HubDataset("a/b", ("train",), root=str(tmp_path), limit=100).rows())
    assert [r["n"] for r in rows] == list(range(49, 5000, 50))
    assert rows[0].number == 50


def test_a_hub_out_of_reach_is_said_in_one_line():
    with pytest.raises(
        ConfigError, match=r"dataset a/b cannot be loaded .*data_root=FOLDER"
    ) as error:
        list(HubDataset("a/b", ("train",), revision=MAIN).rows())
    assert "\n" not in str(error.value)


def test_text_files_plain_and_compressed(tmp_path: Path):
    text = 'text,label\n"a, ""b""\nc",1\n'
    (tmp_path / "my.csv").write_text(text, encoding="utf-8-sig")
    (tmp_path / "my.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "my.jsonl").write_text(json.dumps({"text": 'a, "b"\nc', "label": "1"}) + "\n")
    parquet(tmp_path / "my.parquet", text=['a, "b"\nc'], label=["1"])
    for name in ("my.csv", "my.csv.gz", "my.jsonl", "my.parquet"):
        assert [dict(r) for r in File(str(tmp_path / name)).rows()] == [
            {"text": 'a, "b"\nc', "label": "1"}
        ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("my.csv", b"text,label\na,1\nb\n", r"my.csv, row 2: not as many fields as the header"),
        ("my.csv", b"text,label\na,1\nb,0,c\n", r"my.csv, row 2: not as many fields as the header"),
        ("my.jsonl", b'{"text": "a"}\n{"text"\n', r"my.jsonl, row 2: no JSON"),
        ("my.jsonl", b'{"text": "a", "text": "b"}\n', r"row 1: no JSON \('text' is there twice\)"),
        ("my.jsonl", b'{"a":' * 100_000, r"row 1: no JSON"),
        ("my.csv", b"text,label,text\na,1,b\n", r"my.csv has more than one column 'text': rename"),
        ("my.csv", b",text,label\n0,a\n", r"my.csv, row 1: not as many fields as the header"),
        ("my.jsonl", b"[1]\n", r"my.jsonl, row 1: expected an object"),
        ("my.parquet", b"PAR1 and then nothing", r"my.parquet is no whole parquet file"),
        (
            "my.txt",
            b"text",
            r"my.txt is of no known kind: expected a name with .csv, .jsonl, .parquet",
        ),
    ],
)
def test_broken_files(tmp_path: Path, name: str, content: bytes, message: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=message) as error:
        list(File(str(tmp_path / name)).rows())
    assert "\n" not in str(error.value)


def test_a_truncated_parquet_file(tmp_path: Path):
    whole = parquet(tmp_path / "my.parquet", text=["a"] * 1000).read_bytes()
    (tmp_path / "my.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match=r"my.parquet is no whole parquet file .*: get it again"):
        list(File(str(tmp_path / "my.parquet")).rows())


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_compressed_files_that_are_cut_off_or_in_several_pieces(tmp_path: Path, suffix: str):
    compress = gzip.compress if suffix == ".gz" else zstandard.compress
    lines = [f"{n},{n % 2}\n".encode() for n in range(50_000)]
    whole = compress(b"text,label\n" + b"".join(lines[:20_000])) + compress(
        b"".join(lines[20_000:])
    )
    if suffix == ".zst":  # pzstd begins each piece with a frame to skip
        whole = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd" + whole
    path = tmp_path / f"my.csv{suffix}"
    path.write_bytes(whole)
    assert sum(1 for _ in File(str(path)).rows()) == 50_000
    for broken in (whole[: len(whole) * 3 // 4], b"not compressed at all"):
        path.write_bytes(broken)
        with pytest.raises(
            ConfigError, match=rf"my.csv{suffix} is no whole {suffix} file \(.*\): get it again"
        ):
            list(File(str(path)).rows())


def test_no_file():
    with pytest.raises(ConfigError, match="no file missing"):
        list(File("missing.csv").rows())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text\nfine\n \n", "row 2, column 'text': empty text"),
        (b"text\nfine\ncaf\xe9\n", "row 2, column 'text': invalid UTF-8"),
        (
            b"text\n" + b"x" * (LONGEST_TEXT + 1) + b"\n",
            "row 1, column 'text': 200,001 characters, more than 200,000",
        ),
    ],
)
def test_unusable_texts_are_named_with_row_and_column(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "my.csv").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        [row.text("text") for row in File(str(tmp_path / "my.csv")).rows()]


MAIN, CONVERTED, MOVED = 40 * "a", 40 * "b", 40 * "c"
"""Commits of a dataset, and of its conversion to parquet."""


class Hub:
    """A hub with one dataset, which may be a loading script; branches are commits."""

    def __init__(self, branches: dict[str | None, str], script: bool = False):
        self.branches, self.script = branches, script
        self.asked: list[Any] = []

    def dataset_info(self, api: Any, dataset: str, revision: str | None, timeout: float) -> Any:
        self.asked.append(revision)
        files = ["README.md", "b.py"] if self.script and revision is None else ["README.md"]
        siblings = [SimpleNamespace(rfilename=file) for file in files]
        commit = self.branches.get(revision) or revision
        return SimpleNamespace(sha=commit, siblings=siblings)

    def load_dataset(self, dataset: str, *, revision: str, **how: Any) -> Any:
        import datasets

        self.asked.append((revision, how))
        if revision not in self.branches.values():
            raise RuntimeError(f"Revision '{revision}' doesn't exist")
        if revision == CONVERTED and "name" in how:
            raise ValueError("BuilderConfig 'wic' not found")
        return datasets.Dataset.from_dict({"label": [0, 1], "sentence": ["a", "b"]})


def at(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> Hub:
    """The hub that datasets are loaded from from now on."""
    import datasets
    import huggingface_hub

    _resolved.cache_clear()
    monkeypatch.setattr(
        huggingface_hub.HfApi, "dataset_info", lambda *a, **k: hub.dataset_info(*a, **k)
    )
    monkeypatch.setattr(datasets, "load_dataset", hub.load_dataset)
    return hub


def test_a_loading_script_is_met_by_the_hubs_own_conversion(monkeypatch: pytest.MonkeyPatch):
    hub = at(monkeypatch, Hub({None: MAIN, "refs/convert/parquet": CONVERTED}, script=True))
    dataset = HubDataset("a/b", ("train",), config="wic")
    assert CONVERTED in dataset.identity()["hub"]  # known before anything is read
    rows = [dict(row) for row in dataset.rows()]
    assert rows == [{"label": 0, "sentence": "a"}, {"label": 1, "sentence": "b"}]
    (_, named), (_, folder) = hub.asked[-2:]
    assert (named["name"], folder["data_dir"]) == ("wic", "wic")
    assert folder["cache_dir"].endswith(CONVERTED)  # what `datasets` takes in its place is there


def test_no_other_data_are_read_in_place_of_a_commit_that_is_gone(monkeypatch: pytest.MonkeyPatch):
    at(monkeypatch, Hub({None: MAIN, "refs/convert/parquet": MOVED}, script=True))
    dataset = HubDataset("a/b", ("train",), config="wic", revision=CONVERTED)
    gone = rf"a/b \(wic\) cannot be loaded at {CONVERTED} .*task.source.revision={MOVED}"
    with pytest.raises(ConfigError, match=gone) as error:
        list(dataset.rows())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("revision", [None, "main", "v1.0"])
def test_a_branch_is_the_commit_that_it_was_when_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, revision: str | None
):
    hub = at(monkeypatch, Hub({revision: MAIN}))
    dataset = HubDataset("a/b", ("train",), revision=revision)
    before = dataset.identity()
    hub.branches = {revision: MOVED, "the old one": MAIN}
    assert len(list(dataset.rows())) == 2
    assert dataset.identity() == before
    assert hub.asked[-1][0] == MAIN


def test_a_commit_is_known_without_asking(monkeypatch: pytest.MonkeyPatch):
    hub = at(monkeypatch, Hub({None: MAIN}))
    assert HubDataset("a/b", ("train",), revision=MAIN).identity()["hub"][-1] == MAIN
    assert hub.asked == []


def test_without_a_hub_no_newest_commit_is_known():
    _resolved.cache_clear()
    unpinned = HubDataset("a/b", ("train",))
    with pytest.raises(ConfigError, match=r"a/b is not pinned .*task.source.revision=") as error:
        unpinned.identity()
    assert "\n" not in str(error.value)


def test_the_manifest_says_what_was_read(tmp_path: Path):
    lines = "".join(f"text {n},{n % 2}\n" for n in range(80))
    (tmp_path / "my.csv").write_text("text,label\n" + lines)
    task = OwnFile(name="mine", path=str(tmp_path / "my.csv"), format="csv")
    stage = Splits.of(task, Sizes(supervisor=8, student=8, validation=4, test=4), seed=0)
    run(stage, tmp_path / "splits", store(tmp_path))
    read = json.loads((tmp_path / "splits" / "manifest.json").read_text())["source"]
    assert read["read"].endswith("my.csv")
    assert read["content"]["identity"]["file"] == checksum(tmp_path / "my.csv")


def test_a_dataset_of_the_hub_is_loaded_at_its_revision(monkeypatch: pytest.MonkeyPatch):
    import datasets

    def load(dataset: str, **how: Any) -> datasets.Dataset:
        asked.append((dataset, how))
        return datasets.Dataset.from_dict({"n": list(range(10))})

    asked: list[Any] = []
    monkeypatch.setattr(datasets, "load_dataset", load)
    dataset = HubDataset("a/b", ("train", "test"), config="c", revision=MAIN, limit=5)
    rows = list(dataset.rows())
    assert [row["n"] for row in rows] == [1, 3, 5, 7, 9] * 2
    assert (rows[0].file, rows[0].number) == ("a/b (c) train", 2)
    for (name, how), split in zip(asked, ("train", "test"), strict=True):
        assert (name, how["name"], how["revision"], how["split"]) == ("a/b", "c", MAIN, split)


def test_the_hub_is_asked_where_a_dataset_is(monkeypatch: pytest.MonkeyPatch):
    at(monkeypatch, Hub({None: MAIN}))
    assert HubDataset("a/b", ("train",)).where() == f"hub: a/b at {MAIN}"
    assert HubDataset("a/b", ("train",), revision=MOVED).where() == f"hub: a/b at {MOVED}"


# --- lines and columns ---------------------------------------------------------------------------

BREAKS = "\u2028 \u2029 \x85 \x0b \x0c \x1c \x1d \x1e \r"
"""All that Python takes for ends of lines, and other programs do not."""


def test_lines_end_with_a_line_feed_and_with_nothing_else(tmp_path: Path):
    texts = [f"{n} {BREAKS} end" for n in range(80)]
    rows = [{"text": text, "label": n % 2} for n, text in enumerate(texts)]
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (tmp_path / "my.jsonl").write_text("".join(lines), encoding="utf-8", newline="")
    assert [row["text"] for row in File(str(tmp_path / "my.jsonl")).rows()] == texts
    quoted = [f'"{text}",{n % 2}\n' for n, text in enumerate(texts)]
    (tmp_path / "my.csv").write_text("text,label\n" + "".join(quoted), newline="")
    assert [row["text"] for row in File(str(tmp_path / "my.csv")).rows()] == texts

    task = OwnFile(name="mine", path=str(tmp_path / "my.jsonl"), format="jsonl")
    stage = Splits.of(task, Sizes(supervisor=8, student=8, validation=4, test=4), seed=0)
    run(stage, tmp_path / "splits", store(tmp_path))
    kept = stage.read(tmp_path / "splits")
    assert {e.views[0] for examples in kept.values() for e in examples} <= set(texts)


def test_documents_are_lines_too(tmp_path: Path):
    (tmp_path / "my.txt").write_text(f"one {BREAKS} line\r\n\nanother\n", newline="")
    documents = list(TextFile(str(tmp_path / "my.txt")).documents())
    assert documents == [f"one {BREAKS} line", "another"]


def test_a_journal_may_tell_of_any_text(tmp_path: Path):
    journal = Journal(tmp_path / "journal.jsonl")
    line = json.dumps({"what": BREAKS}, ensure_ascii=False) + "\n"
    journal.file.write_text(line * 2, encoding="utf-8", newline="")
    assert journal.read() == [{"what": BREAKS}] * 2


@pytest.mark.parametrize("header", [",text,label", "text,label,", "text,,label", ",text,label,"])
def test_columns_without_a_name_are_no_columns(tmp_path: Path, header: str):
    """A data frame writes its index so."""
    names = header.split(",")
    line = ",".join({"text": "a", "label": "1"}.get(name, "7") for name in names)
    (tmp_path / "my.csv").write_text(f"{header}\n{line}\n")
    assert [dict(row) for row in File(str(tmp_path / "my.csv")).rows()] == [
        {"text": "a", "label": "1"}
    ]


@pytest.mark.parametrize("name", ["my.csv", "my.jsonl"])
def test_blank_lines_are_no_rows(tmp_path: Path, name: str):
    header, row = ("a\n", "1\n") if name == "my.csv" else ("", '{"a": 1}\n')
    (tmp_path / name).write_text(f"{header}{row}\n{row}\n\n")
    assert len(list(File(str(tmp_path / name)).rows())) == 2


def test_a_parquet_file_with_a_column_twice(tmp_path: Path):
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    pq.write_table(table, tmp_path / "my.parquet")
    with pytest.raises(ConfigError, match="more than one column 'text'"):
        list(File(str(tmp_path / "my.parquet")).rows())


@pytest.mark.parametrize("given", ["train", None, 5])
def test_a_text_is_no_list_of_its_letters(given: Any):
    with pytest.raises(ValidationError, match="valid tuple"):
        HubDataset("a/b", given)
