"""Formatters of NLP datasets, on rows in the schema of the hub, and on datasets that are there."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY

from w2sweep.experiment.splitting import split
from w2sweep.interface.data_command import composed
from w2sweep.tasks import nlp
from w2sweep.tasks.example import Example, Skipped, normalized
from w2sweep.tasks.nlp import Classification
from w2sweep.tasks.rows import Row
from w2sweep.tasks.source import File
from w2sweep.values import ConfigError


def points(formatter: str, **row: Any) -> list[Example]:
    return [p for p in getattr(nlp, formatter)(Row(row, "file", 1)) if isinstance(p, Example)]


def labels(formatter: str, **row: Any) -> list[int | str]:
    return [p.label for p in points(formatter, **row)]


FOUR = {"text": ["sun", "moon", "star", "rain"], "label": ["A", "B", "C", "D"]}
NONE = "None of the above choices ."

ROWS: dict[str, tuple[dict[str, Any], list[int]]] = {
    "boolq": ({"question": "is it", "answer": True, "passage": "It is."}, [1]),
    "cosmos_qa": (
        {
            "id": "1",
            "context": "We left.",
            "question": "Why ?",
            "answer0": "Rain .",
            "answer1": "Sun .",
            "answer2": "Hail .",
            "answer3": NONE,
            "label": 1,
        },
        [0, 1, 0],
    ),
    "dream": (
        {
            "id": 0,
            "dialogue_id": "5-510",
            "dialogue": ["M: Hi.", "W: Ho."],
            "question": "Who?",
            "choice": ["he", "she", "it"],
            "answer": "it",
        },
        [0, 0, 1],
    ),
    "ethics_justice": ({"label": 0, "scenario": "I deserve a pet because I am rich."}, [0]),
    "ethics_deontology": (
        {"label": 1, "scenario": "Could you come?", "excuse": "But I am here."},
        [1],
    ),
    "ethics_virtue": ({"label": 1, "scenario": "Jo gave it all away. [SEP] generous"}, [1]),
    "ethics_utilitarianism": (
        {"baseline": "I ate cake.", "less_pleasant": "I ate cake. It was off."},
        [1, 0],
    ),
    "anli": (
        {"uid": "u", "premise": "A cat.", "hypothesis": "An animal.", "label": 0, "reason": ""},
        [1],
    ),
    "cola": ({"sentence": "The cat sat.", "label": 1, "idx": 3}, [1]),
    "sst2": ({"idx": 1, "sentence": "a treat ", "label": 1}, [1]),
    "hellaswag": (
        {
            "ind": 4,
            "activity_label": "Roofing",
            "ctx_a": "A man.",
            "ctx_b": "he",
            "ctx": "A man. he",
            "endings": ["runs.", "sits.", "sings.", "nails."],
            "source_id": "activitynet~v_-JhWj",
            "split": "train",
            "split_type": "indomain",
            "label": "3",
        },
        [0, 0, 0, 1],
    ),
    "mc_taco": (
        {
            "sentence": "He ate.",
            "question": "How long?",
            "answer": "2 years",
            "label": 0,
            "category": 0,
        },
        [0],
    ),
    "openbookqa": (
        {"id": "7", "question_stem": "It shines at night", "choices": FOUR, "answerKey": "B"},
        [0, 1, 0, 0],
    ),
    "paws": ({"id": 1, "sentence1": "A saw B .", "sentence2": "B saw A .", "label": 0}, [0]),
    "quail": (
        {
            "id": "f1",
            "context_id": "f",
            "question_id": "1",
            "domain": "fiction",
            "metadata": {"author": "x"},
            "context": "Long ago.",
            "question": "When?",
            "question_type": "Temporal_order",
            "answers": ["now", "then", "not enough information", "never"],
            "correct_answer_id": 1,
        },
        [0, 1, 0, 0],
    ),
    "piqa": ({"goal": "To boil", "sol1": "heat it", "sol2": "cool it", "label": 0}, [1, 0]),
    "quartz": (
        {
            "id": "QRQA-1",
            "question": "More of which?",
            "choices": {"text": ["heat", "cold"], "label": ["A", "B"]},
            "answerKey": "B",
            "para": "Less heat, more cold.",
            "para_id": "QRSent-1",
            "para_anno": {},
            "question_anno": {},
        },
        [0, 1],
    ),
    "sciq": (
        {
            "question": "Who?",
            "distractor3": "c",
            "distractor1": "a",
            "distractor2": "b",
            "correct_answer": "Darwin",
            "support": "",
        },
        [1, 0, 0, 0],
    ),
    "social_i_qa": (
        {
            "context": "Jo fell.",
            "question": "Why?",
            "answerA": "ice",
            "answerB": "joy",
            "answerC": "a",
            "label": "1\n",
        },
        [1, 0, 0],
    ),
    "multirc": (
        {
            "paragraph": "Many.",
            "question": "Who?",
            "answer": "Jo",
            "idx": {"paragraph": 0, "question": 0, "answer": 1},
            "label": 1,
        },
        [1],
    ),
    "wic": (
        {
            "word": "place",
            "sentence1": "My place.",
            "sentence2": "A place for all.",
            "start1": 3,
            "start2": 2,
            "end1": 8,
            "end2": 7,
            "idx": 0,
            "label": 0,
        },
        [0],
    ),
    "twitter_sentiment": ({"text": "so happy today", "label": 1}, [1]),
    "amazon_polarity": ({"label": 0, "title": "Bad", "content": "It broke."}, [0]),
    "rte": ({"sentence1": "It rains.", "sentence2": "It is wet.", "label": 0, "idx": 0}, [1]),
    "arc": (
        {
            "id": "M",
            "question": "Which?",
            "choices": {"text": ["a", "b"], "label": ["1", "2"]},
            "answerKey": "2",
        },
        [0, 1],
    ),
    "commonsense_qa": (
        {
            "id": "x",
            "question": "Where?",
            "question_concept": "fox",
            "choices": FOUR,
            "answerKey": "D",
        },
        [0, 0, 0, 1],
    ),
    "winogrande": (
        {"sentence": "_ won as Jo lost.", "option1": "Jo", "option2": "Al", "answer": "2"},
        [0, 1],
    ),
}

UNLABELLED = {
    "cola": {"label": -1},
    "cosmos_qa": {"label": -1},
    "hellaswag": {"label": ""},
    "piqa": {"label": -1},
    "multirc": {"label": -1},
    "winogrande": {"answer": ""},
    "commonsense_qa": {"answerKey": ""},
    "wic": {"label": -1},
}


@pytest.mark.parametrize("name", ROWS)
def test_points_have_the_labels_of_the_row(name: str):
    row, expected = ROWS[name]
    assert labels(name, **row) == expected
    assert all(p.views[0].strip() for p in points(name, **row))


@pytest.mark.parametrize("name", UNLABELLED)
def test_rows_without_a_label_are_counted_not_used(name: str):
    row = Row({**ROWS[name][0], **UNLABELLED[name]}, "file", 1)
    made = list(getattr(nlp, name)(row))
    assert made
    assert {p.reason for p in made if isinstance(p, Skipped)} >= {"unlabelled"}
    assert not any(isinstance(p, Example) for p in made)


@pytest.mark.parametrize("name", [n for n, (_, expected) in ROWS.items() if len(expected) > 1])
def test_answers_of_a_question_differ_in_the_answer_alone(name: str):
    """Only its content tells the right answer: not its position, no letter, not how it is shown."""
    made = points(name, **ROWS[name][0])
    assert len({(p.group, p.question) for p in made}) == 1
    assert made[0].question
    if name not in ("ethics_utilitarianism", "winogrande"):
        assert len({p.views[0].rpartition("\nAnswer: ")[0] for p in made}) == 1


def test_openbookqa_shows_right_answers_as_it_shows_wrong_ones():
    shown = [
        p.views[0].rpartition("Answer: ")[2] for p in points("openbookqa", **ROWS["openbookqa"][0])
    ]
    assert shown == FOUR["text"]  # in other code the right one is shown as its letter


def test_cosmos_qa_has_no_point_with_none_of_the_above():
    row = {**ROWS["cosmos_qa"][0], "label": 3}  # the right answer is that there is none
    assert labels("cosmos_qa", **row) == [0, 0, 0]
    assert not any("None of the above" in p.views[0] for p in points("cosmos_qa", **row))


@pytest.mark.parametrize(("label", "entailed"), [(0, 1), (1, 0), (2, 0)])
def test_anli_takes_neutral_and_contradiction_together(label: int, entailed: int):
    assert labels("anli", **{**ROWS["anli"][0], "label": label}) == [entailed]


def test_utilitarianism_shows_each_pair_both_ways():
    shown = {
        p.label: p.views[0].splitlines()[:2]
        for p in points("ethics_utilitarianism", **ROWS["ethics_utilitarianism"][0])
    }
    assert shown[1] == ["1: I ate cake.", "2: I ate cake. It was off."]
    assert shown[0] == ["1: I ate cake. It was off.", "2: I ate cake."]


def test_virtue_reads_its_trait_from_a_column_too():
    both = [
        {"label": 0, "scenario": "Jo hid. [SEP] brave"},
        {"label": 0, "scenario": "Jo hid.", "trait": "brave"},
    ]
    assert points("ethics_virtue", **both[0]) == points("ethics_virtue", **both[1])


def test_choices_as_a_list_of_pairs_are_the_same():
    row = ROWS["openbookqa"][0]
    as_list = [{"text": t, "label": c} for t, c in zip(FOUR["text"], FOUR["label"], strict=True)]
    assert points("openbookqa", **{**row, "choices": as_list}) == points("openbookqa", **row)


@pytest.mark.parametrize("label", ["1", 1, True, "True", "yes"])
def test_labels_may_be_written_in_any_way(label: Any):
    assert labels("cola", sentence="It is.", label=label) == [1]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "cola",
            {"label": 2},
            "file, row 1, column 'label': found '2', expected a whole number from 0 to 1",
        ),
        (
            "social_i_qa",
            {"label": "0"},
            "column 'label': found '0', expected a whole number from 1 to 3",
        ),
        (
            "openbookqa",
            {"answerKey": "E"},
            "column 'answerKey': found 'E', expected one of A, B, C, D",
        ),
        ("dream", {"answer": "they"}, "column 'answer': found 'they', expected one of the choices"),
    ],
)
def test_wrong_labels_are_named_with_file_row_and_column(
    name: str, change: dict[str, Any], message: str
):
    with pytest.raises(ConfigError, match=message):
        points(name, **{**ROWS[name][0], **change})


@pytest.mark.parametrize("path", ["cola", "nlp.cola", "w2sweep.tasks.nlp.kola"])
def test_a_formatter_that_is_not_there_is_named_with_what_was_expected(path: str):
    expected = r"expected package\.module\.function, importable from here"
    with pytest.raises(ConfigError, match=rf"format: cannot import '{path}' \(.*\); {expected}"):
        Classification(name="mine", source=File("my.csv"), format=path)  # type: ignore[arg-type]


def test_missing_columns_are_named():
    with pytest.raises(ConfigError, match="file has no column 'label'; its columns are sentence"):
        points("cola", sentence="It is.")


def test_rows_with_the_same_passage_premise_word_or_video_are_one_group():
    for name, column, value in (
        ("boolq", "question", "was it"),
        ("quail", "question", "Where?"),
        ("wic", "sentence1", "No place."),
        ("anli", "hypothesis", "A dog."),
        ("multirc", "question", "What?"),
        ("dream", "question", "Where?"),
        ("ethics_virtue", "scenario", "Jo gave it all away. [SEP] mean"),
    ):
        row = ROWS[name][0]
        assert points(name, **row)[0].group == points(name, **{**row, column: value})[0].group, name


def test_scenarios_that_share_a_claim_or_a_reason_share_a_group():
    def groups(scenario: str) -> set[str]:
        return set(points("ethics_justice", label=0, scenario=scenario)[0].group.split("\n"))

    pet = groups("I deserve a pet because I am kind.")
    assert pet & groups("I deserve a pet because I am rich.")
    assert pet & groups("I deserve a car because I am kind.")
    assert not pet & groups("I deserve a car because I am rich.")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I usually walk my dog, but it rained.", "I usually walk my dog, but I was ill."),
        ("I used to sing since I was glad.", "I was late since I was glad."),
        (
            "I am justified in expecting the barber to give me a trim.",
            "I am justified in expecting the barber to give me new tyres.",
        ),
        ("I deserve a pet because: I am kind.", "I deserve a pet, I am rich."),
    ],
)
def test_scenarios_without_because_share_a_group(one: str, other: str):
    groups = [
        set(points("ethics_justice", label=0, scenario=scenario)[0].group.split("\n"))
        for scenario in (one, other)
    ]
    assert groups[0] & groups[1]


def test_no_scenario_of_the_test_split_begins_as_one_to_learn_from(shared: Path):
    task, sizes, seed, _ = composed("ethics_justice", [f"data_root={shared / 'data' / 'hub'}"])
    splits, _ = split(task.examples(), sizes, seed)

    def beginnings(examples: list[Example]) -> set[str]:
        return {" ".join(normalized(e.views[0]).split()[:10]) for e in examples}

    learned = [e for name in ("supervisor", "student", "validation") for e in splits[name]]
    assert not beginnings(splits["test"]) & beginnings(learned)


def test_phrases_of_one_sentence_share_a_group():
    def groups(text: str) -> set[str]:
        return set(points("sst2", sentence=text, label=1)[0].group.split("\n"))

    whole = groups("a quiet , moving film that stays with you for days")
    assert whole & groups("Moving film that stays with")
    assert not whole & groups("another film that stays with me")


PAPER = [
    "boolq",
    "cosmos_qa",
    "dream",
    "ethics_justice",
    "ethics_deontology",
    "ethics_virtue",
    "ethics_utilitarianism",
    "anli",
    "cola",
    "sst2",
    "hellaswag",
    "mc_taco",
    "openbookqa",
    "paws",
    "quail",
    "piqa",
    "quartz",
    "sciq",
    "social_i_qa",
    "multirc",
    "wic",
    "twitter_sentiment",
]


def test_there_is_a_configuration_for_each_dataset():
    assert len(PAPER) == 22
    for name in [
        *PAPER,
        "amazon_polarity",
        "rte",
        "arc_easy",
        "arc_challenge",
        "commonsense_qa",
        "winogrande",
    ]:
        task, sizes, _, _ = composed(name, ["data_root=/nowhere"])
        assert (task.name, task.family, sizes.supervisor) == (name, "nlp", 2500)


HERE = [
    "boolq",
    "cosmos_qa",
    "dream",
    "ethics_justice",
    "ethics_deontology",
    "cola",
    "sst2",
    "hellaswag",
    "mc_taco",
    "openbookqa",
    "piqa",
    "sciq",
    "wic",
    "arc_easy",
    "arc_challenge",
    "hh_rlhf",
    "lichess",
]


def groups_of(examples: list[Example]) -> set[str]:
    return {group for e in examples for group in e.group.split("\n")}


def classes_of(examples: list[Example]) -> Counter[int]:
    """Examples by class; none where they are completions."""
    return Counter(e.label for e in examples if isinstance(e.label, int))


@pytest.mark.parametrize("name", HERE)
def test_a_real_dataset_is_loaded_and_split(name: str, shared: Path):
    task, sizes, seed, _ = composed(name, [f"data_root={shared / 'data' / 'hub'}"])
    splits, manifest = split(task.examples(), sizes, seed)
    groups = list(map(groups_of, splits.values()))
    assert sum(map(len, groups)) == len(set().union(*groups))
    for examples in splits.values():
        classes = classes_of(examples)
        assert max(classes.values(), default=0) <= 0.55 * classes.total()
    assert len(set(classes_of(splits["test"]).values())) <= 1
    assert len(splits["test"]) >= 290
    offered = manifest["offered"]["n"]
    lost = {"unlabelled", '"None of the above" as an answer', "both responses are the same"}
    left_out = sum(n for reason, n in manifest["dropped"].items() if reason not in lost)
    assert offered == sum(map(len, splits.values())) + left_out


def test_the_configurations_name_their_formatters():
    for file in (REPOSITORY / "conf" / "task").glob("*.yaml"):
        assert file.read_text().startswith(f"# @package _global_\n# w2sweep task={file.stem}"), (
            file.name
        )
