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

from w2sweep.tasks.rows import LONGEST_TEXT
from w2sweep.tasks.source import File, HubDataset
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


def test_identity_is_the_content_wherever_it_lies(tmp_path: Path):
    def source(folder: str, label: int) -> HubDataset:
        parquet(tmp_path / folder / "a" / "b" / "default" / "train.parquet", label=[label])
        return HubDataset("a/b", ("train",), root=str(tmp_path / folder))

    assert source("here", 1).identity() == source("there", 1).identity()
    assert source("here", 1).identity() != source("elsewhere", 0).identity()
    assert (
        HubDataset("a/b", ("train",), revision="1").identity()
        != HubDataset("a/b", ("train",), revision="2").identity()
    )


def test_of_millions_of_rows_some_are_taken_evenly(tmp_path: Path):
    parquet(tmp_path / "a" / "b" / "default" / "train.parquet", n=list(range(5000)))
    rows = list(HubDataset("a/b", ("train",), root=str(tmp_path), limit=100).rows())
    assert [r["n"] for r in rows] == list(range(49, 5000, 50))
    assert rows[0].number == 50


def test_a_hub_out_of_reach_is_said_in_one_line():
    with pytest.raises(
        ConfigError, match=r"dataset a/b cannot be loaded .*data_root=FOLDER"
    ) as error:
        list(HubDataset("a/b", ("train",)).rows())
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


def test_a_loading_script_is_met_by_the_hubs_own_conversion(monkeypatch: pytest.MonkeyPatch):
    import datasets

    def load(dataset: str, *, split: str, **how: Any) -> datasets.Dataset:
        asked.append((dataset, split, how))
        if how["revision"] != "refs/convert/parquet":
            raise RuntimeError("Dataset scripts are no longer supported, but found super_glue.py")
        return datasets.Dataset.from_dict({"label": [0, 1], "sentence": ["a", "b"]})

    asked: list[Any] = []
    monkeypatch.setattr(datasets, "load_dataset", load)
    rows = list(HubDataset("aps/super_glue", ("train",), config="wic", revision="3de24cf").rows())
    assert [dict(r) for r in rows] == [{"label": 0, "sentence": "a"}, {"label": 1, "sentence": "b"}]
    assert asked == [
        ("aps/super_glue", "train", {"name": "wic", "revision": "3de24cf"}),
        ("aps/super_glue", "train", {"data_dir": "wic", "revision": "3de24cf"}),
        ("aps/super_glue", "train", {"data_dir": "wic", "revision": "refs/convert/parquet"}),
    ]


def test_a_dataset_of_the_hub_is_loaded_at_its_revision(monkeypatch: pytest.MonkeyPatch):
    import datasets

    def load(dataset: str, **how: Any) -> datasets.Dataset:
        asked.append((dataset, how))
        return datasets.Dataset.from_dict({"n": list(range(10))})

    asked: list[Any] = []
    monkeypatch.setattr(datasets, "load_dataset", load)
    source = HubDataset("a/b", ("train", "test"), config="c", revision="1", limit=5)
    rows = list(source.rows())
    assert [row["n"] for row in rows] == [1, 3, 5, 7, 9] * 2
    assert (rows[0].file, rows[0].number) == ("a/b (c) train", 2)
    asked_for = {"name": "c", "revision": "1"}
    assert asked == [("a/b", {**asked_for, "split": split}) for split in ("train", "test")]


def test_the_hub_is_asked_where_a_dataset_is(monkeypatch: pytest.MonkeyPatch):
    import huggingface_hub

    def info(api: Any, dataset: str, revision: str, timeout: float) -> SimpleNamespace:
        return SimpleNamespace(sha=f"{dataset}@{revision}")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", info)
    assert HubDataset("a/b", ("train",), revision="1").where() == "hub: a/b at a/b@1"
