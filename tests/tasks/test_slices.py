"""Datasets that cannot be shipped with the tests, as slices in the schema they have on the hub."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chess
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from w2sweep.experiment.splitting import split
from w2sweep.interface.data_command import composed, main
from w2sweep.tasks.example import Example

SIZES = ["sizes.supervisor=16", "sizes.student=16", "sizes.validation=6", "sizes.test=8"]


def word(n: int) -> str:
    """A word of its own for each number: near-exact duplicates are dropped."""
    return "".join(chr(ord("a") + int(d)) for d in str(n + 1000))


def lettered(n: int, k: int) -> dict[str, list[str]]:
    return {
        "label": list("ABCDE"[:k]),
        "text": [f"{word(n)} {c}" for c in ("one", "two", "three", "four", "five")[:k]],
    }


def said(text: str) -> list[dict[str, str]]:
    return [{"content": "Hi", "role": "user"}, {"content": text, "role": "assistant"}]


def puzzle(n: int) -> dict[str, Any]:
    board, moves = chess.Board(), []
    for reply in (n % 20, n // 20, 3):
        moves.append(board.san(sorted(board.legal_moves, key=str)[reply]))
        board.push_san(moves[-1])
    return {"id": f"p{n}", "ctx": f"1. {moves[0]} 1... {moves[1]} 2.", "target": f" {moves[2]}"}


Slice = tuple[str, str, str, str, Callable[[int], dict[str, Any]]]
"""Dataset, older name, config on the hub, one of its splits, row n."""

SLICES: dict[str, Slice] = {
    "anli": (
        "facebook/anli",
        "anli",
        "plain_text",
        "dev_r2",
        lambda n: {
            "uid": f"u{n}",
            "premise": f"The {word(n)} ran.",
            "hypothesis": "It ran.",
            "label": n % 3,
            "reason": "",
        },
    ),
    "paws": (
        "google-research-datasets/paws",
        "paws",
        "labeled_final",
        "validation",
        lambda n: {
            "id": n,
            "sentence1": f"{word(n)} saw B .",
            "sentence2": f"B saw {word(n)} .",
            "label": n % 2,
        },
    ),
    "quail": (
        "textmachinelab/quail",
        "quail",
        "quail",
        "challenge",
        lambda n: {
            "id": f"f{n}_1",
            "context_id": f"f{n}",
            "question_id": "1",
            "domain": "fiction",
            "metadata": {"author": "x", "title": "y", "url": "z"},
            "context": f"A {word(n)}.",
            "question": "Who?",
            "question_type": "Causality",
            "answers": ["not enough information", "Jo", "Al", word(n)],
            "correct_answer_id": n % 4,
        },
    ),
    "quartz": (
        "allenai/quartz",
        "quartz",
        "default",
        "train",
        lambda n: {
            "id": f"QRQA-{n}",
            "question": "Which?",
            "choices": lettered(n, 2),
            "answerKey": "AB"[n % 2],
            "para": f"More {word(n)}.",
            "para_id": f"QRSent-{n}",
            "para_anno": {"cause_prop": "x"},
            "question_anno": {"more_effect_dir": "y"},
        },
    ),
    "social_i_qa": (
        "allenai/social_i_qa",
        "social_i_qa",
        "default",
        "validation",
        lambda n: {
            "context": f"Jo met {word(n)}.",
            "question": "Why?",
            "answerA": "fun",
            "answerB": "duty",
            "answerC": word(n),
            "label": str(n % 3 + 1),
        },
    ),
    "multirc": (
        "aps/super_glue",
        "super_glue",
        "multirc",
        "validation",
        lambda n: {
            "paragraph": f"A {word(n // 2)}.",
            "question": "Who?",
            "answer": f"it is {word(n)}",
            "idx": {"paragraph": n // 2, "question": n // 2, "answer": n},
            "label": n % 2,
        },
    ),
    "ethics_virtue": (
        "hendrycks/ethics",
        "EleutherAI/hendrycks_ethics",
        "virtue",
        "test",
        lambda n: {
            "label": int(n % 3 == 0),
            "scenario": f"Jo gave {word(n // 5)} away. [SEP] {word(n)}",
        },
    ),
    "ethics_utilitarianism": (
        "hendrycks/ethics",
        "lighteval/hendrycks_ethics",
        "utilitarianism",
        "train",
        lambda n: {
            "baseline": f"{word(n)} came for tea.",
            "less_pleasant": f"{word(n)} came for tea, late.",
        },
    ),
    "twitter_sentiment": (
        "EleutherAI/twitter-sentiment",
        "twitter-sentiment",
        "default",
        "test",
        lambda n: {"text": f"@you so {word(n)} today ", "label": n % 2},
    ),
    "amazon_polarity": (
        "fancyzhx/amazon_polarity",
        "amazon_polarity",
        "amazon_polarity",
        "test",
        lambda n: {
            "label": n % 2,
            "title": "" if n % 3 else "Bought it",
            "content": f"It was {word(n)}.",
        },
    ),
    "rte": (
        "nyu-mll/glue",
        "glue",
        "rte",
        "validation",
        lambda n: {
            "sentence1": f"It rains on {word(n)}.",
            "sentence2": "It is wet.",
            "label": n % 2,
            "idx": n,
        },
    ),
    "commonsense_qa": (
        "tau/commonsense_qa",
        "commonsense_qa",
        "default",
        "validation",
        lambda n: {
            "id": f"i{n}",
            "question": f"Where is a {word(n)}?",
            "question_concept": word(n),
            "choices": lettered(n, 5),
            "answerKey": "ABCDE"[n % 5],
        },
    ),
    "winogrande": (
        "allenai/winogrande",
        "winogrande",
        "winogrande_xl",
        "validation",
        lambda n: {
            "sentence": f"_ met {word(n)}.",
            "option1": f"Jo {word(n)}",
            "option2": "Al",
            "answer": str(n % 2 + 1),
        },
    ),
    "shp": (
        "stanfordnlp/SHP",
        "SHP",
        "default",
        "validation",
        lambda n: {
            "post_id": f"p{n}",
            "domain": "askbaking_validation",
            "upvote_ratio": 0.9,
            "history": f"Why {word(n)}?",
            "c_root_id_A": "a",
            "c_root_id_B": "b",
            "created_at_utc_A": 1,
            "created_at_utc_B": 2,
            "score_A": 5 if n % 2 else 2,
            "score_B": 2 if n % 2 else 5,
            "human_ref_A": f"So {word(n)}.",
            "human_ref_B": "It is.",
            "labels": n % 2,
            "seconds_difference": 1.0,
            "score_ratio": 2.5,
        },
    ),
    "ultrafeedback": (
        "HuggingFaceH4/ultrafeedback_binarized",
        "ultrafeedback_binarized",
        "default",
        "test_prefs",
        lambda n: {
            "prompt": f"What is {word(n)}?",
            "prompt_id": f"h{n}",
            "chosen": said(f"It is {word(n)}."),
            "rejected": said("No." if n else ""),
            "messages": said("It is."),
            "score_chosen": 8.5,
            "score_rejected": 4.0,
        },
    ),
    "summaries": (
        "openai/summarize_from_feedback",
        "summarize_from_feedback",
        "comparisons",
        "validation",
        lambda n: {
            "info": {
                "id": f"t3_{n}",
                "post": f"So I met {word(n)}." if n % 2 else None,
                "title": "Met" if n % 2 else None,
                "subreddit": "x",
                "site": None,
                "article": None if n % 2 else f"{word(n)} was met.",
            },
            "summaries": [
                {"text": f" Met {word(n)}.", "policy": "ref", "note": None},
                {"text": " Met.", "policy": "sup1", "note": "ok"},
            ],
            "choice": n // 2 % 2,
            "worker": "w",
            "batch": "batch3",
            "split": "valid1",
            "extra": {"confidence": None},
        },
    ),
    "lichess_games": ("EleutherAI/lichess-puzzles", "lichess-puzzles", "default", "train", puzzle),
}

KINDS = ("folder", "default folder", "mirror", "mirror with an older name")


def laid(root: Path, task: str, kind: str = "folder", n_rows: int = 100) -> Path:
    """A slice of the dataset as it may lie in a folder."""
    dataset, older, config, name, row = SLICES[task]
    folder = root / dataset / ("default" if kind == "default folder" else config)
    folder = folder if kind.endswith("folder") else root / "files"
    folder.mkdir(parents=True)
    pq.write_table(
        pa.Table.from_pylist([row(n) for n in range(n_rows)]), folder / f"{name}.parquet"
    )
    if kind.startswith("mirror"):
        names = (older, [dataset]) if kind.endswith("name") else (dataset, [older])
        splits = {name: {"file": f"files/{name}.parquet", "rows": n_rows}}
        configs = {
            config if len(config) > 7 else "default": {
                "folder": "files",
                "hub_config": config,
                "splits": splits,
            }
        }
        entry = {"aliases": names[1], "default_config": next(iter(configs)), "configs": configs}
        (root / "mirror.json").write_text(
            json.dumps({"some/other": {"configs": {}}, names[0]: entry})
        )
    return root


@pytest.mark.parametrize("task", SLICES)
def test_a_slice_with_one_split_loads_wherever_it_lies(task: str, tmp_path: Path):
    read = {}
    for kind in KINDS:
        root = laid(tmp_path / kind, task, kind)
        made, sizes, seed, _ = composed(task, [f"data_root={root}", *SIZES])
        read[kind] = split(made.examples(), sizes, seed)
    splits, manifest = read["folder"]
    assert all(found == (splits, manifest) for found in read.values())
    assert len(splits["test"]) == 8
    for examples in splits.values():
        counts = Counter(e.label for e in examples if isinstance(e.label, int))
        assert max(counts.values(), default=0) <= 0.55 * counts.total()
    assert "near-exact duplicates" not in manifest["dropped"]


def test_labels_mean_what_they_mean_on_the_hub(tmp_path: Path):
    def read(task: str) -> list[Example]:
        made, *_ = composed(task, [f"data_root={laid(tmp_path / task, task)}"])
        return [e for e in made.examples() if isinstance(e, Example)]

    def preferred(task: str) -> list[str]:
        return [e.views[e.label] for e in read(task) if isinstance(e.label, int)]

    assert [e.label for e in read("anli")[:3]] == [1, 0, 0]  # entailment, neutral, contradiction
    assert [e.label for e in read("rte")[:2]] == [1, 0]  # entailment, not
    assert [e.label for e in read("social_i_qa")[:3]] == [1, 0, 0]  # "1" is the first answer
    assert [e.label for e in read("winogrande")[:2]] == [1, 0]
    assert [e.label for e in read("quail")[4:8]] == [0, 1, 0, 0]
    assert [p.endswith("So baab.") for p in preferred("shp")[1:2]] == [True]
    assert all("It is" in p for p in preferred("ultrafeedback"))
    assert [p.endswith("Met.") for p in preferred("summaries")[:4]] == [False, False, True, True]
    assert str(read("lichess_games")[0].label).startswith(" ")


def test_an_empty_answer_in_a_dataset_is_counted(tmp_path: Path):
    made, sizes, seed, _ = composed(
        "ultrafeedback", [f"data_root={laid(tmp_path, 'ultrafeedback')}", *SIZES]
    )
    _, manifest = split(made.examples(), sizes, seed)
    assert manifest["dropped"]["empty text"] == 1


def test_utilitarianism_of_either_mirror_has_the_more_pleasant_event_first(tmp_path: Path):
    def first(**row: str) -> list[str]:
        root = tmp_path / row.get("activity", "other")
        (root / "hendrycks/ethics/utilitarianism").mkdir(parents=True)
        pq.write_table(
            pa.Table.from_pylist([row]), root / "hendrycks/ethics/utilitarianism/train.parquet"
        )
        made, *_ = composed("ethics_utilitarianism", [f"data_root={root}"])
        return [e.views[0] for e in made.examples() if isinstance(e, Example) and e.label]

    assert first(baseline="tea", less_pleasant="cold tea") == first(
        activity="tea", baseline="cold tea", rating="x"
    )


def test_a_folder_beside_what_the_mirror_lists_is_found(tmp_path: Path):
    laid(tmp_path, "paws")
    other = {
        "aliases": [],
        "default_config": "x",
        "configs": {"x": {"hub_config": "x", "splits": {}}},
    }
    (tmp_path / "mirror.json").write_text(json.dumps({"google-research-datasets/paws": other}))
    made, *_ = composed("paws", [f"data_root={tmp_path}"])
    assert len(list(made.examples())) == 100


BROKEN: list[tuple[str, str, Any, str]] = [
    ("anli", "label", 3, "column 'label': found '3', expected a whole number from 0 to 2"),
    ("anli", "premise", None, "column 'premise': expected text, found None"),
    ("quail", "answers", None, "column 'answers': expected a list of texts, found None"),
    ("quartz", "answerKey", "C", "column 'answerKey': found 'C', expected one of A, B"),
    ("social_i_qa", "label", "4", "column 'label': found '4', expected a whole number from 1 to 3"),
    ("shp", "labels", 2, "column 'labels': found 2, expected 0 or 1"),
    ("summaries", "choice", -1, "column 'choice': found -1, expected 0 or 1"),
    ("lichess_games", "target", " Qh9", "column 'target': 'Qh9' is no legal move"),
    ("twitter_sentiment", "text", "x" * 1_000_000, "column 'text': 1,000,000 characters"),
    ("paws", "sentence1", b"caf\xe9", "column 'sentence1': invalid UTF-8"),
]


@pytest.mark.parametrize(("task", "column", "value", "message"), BROKEN)
def test_a_broken_row_is_named(
    task: str,
    column: str,
    value: Any,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    dataset, _, config, name, row = SLICES[task]
    rows = [row(n) for n in range(9)]
    rows[6][column] = value
    if isinstance(value, bytes):
        rows = [{**r, column: r[column] if r is rows[6] else r[column].encode()} for r in rows]
    table = pa.Table.from_pylist(rows)
    if isinstance(value, bytes):
        index = table.column_names.index(column)
        table = table.set_column(index, column, table[column].combine_chunks().view(pa.string()))
    (tmp_path / dataset / config).mkdir(parents=True)
    pq.write_table(table, tmp_path / dataset / config / f"{name}.parquet")
    with pytest.raises(SystemExit):
        main([task, f"data_root={tmp_path}"])
    said = capsys.readouterr().err
    assert f"{name}.parquet), row 7, {message}" in said
    assert said.count("\n") == 1
