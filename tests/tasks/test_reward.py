"""Pairs: what is the prompt, which is preferred, and that the order of the two says nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2sweep.interface.data_command import composed
from w2sweep.tasks import reward
from w2sweep.tasks.example import Example, Skipped
from w2sweep.tasks.reward import Pair
from w2sweep.tasks.rows import Row
from w2sweep.values import ConfigError


def pairs(formatter: str, **row: Any) -> list[Pair | Skipped]:
    made: Iterator[Pair | Skipped] = getattr(reward, formatter)(Row(row, "file", 1))
    return list(made)


def test_hh_rlhf_makes_the_shared_turns_the_prompt():
    start = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Who won?\n\nAssistant:"
    [pair] = pairs("hh_rlhf", chosen=f"{start} I do not know.", rejected=f"{start} I did.")
    assert pair == Pair(start.strip(), " I do not know.", " I did.", group="Human: Hi")


def test_hh_rlhf_dialogues_may_part_before_their_last_answer():
    start = "\n\nHuman: Hi\n\nAssistant:"
    [pair] = pairs(
        "hh_rlhf", chosen=f"{start} A\n\nHuman: B\n\nAssistant: C", rejected=f"{start} D"
    )
    assert pair == Pair(start.strip(), " A\n\nHuman: B\n\nAssistant: C", " D", group="Human: Hi")


def test_hh_rlhf_dialogues_without_a_shared_prompt_are_counted():
    assert pairs(
        "hh_rlhf", chosen="\n\nHuman: a\n\nAssistant: b", rejected="\n\nHuman: c\n\nAssistant: d"
    ) == [Skipped("the dialogues share no prompt")]


SHP = {
    "post_id": "p",
    "history": "Why?",
    "human_ref_A": "a",
    "human_ref_B": "b",
    "score_A": 5,
    "score_B": 2,
}


@pytest.mark.parametrize(("label", "chosen"), [(1, "a"), (0, "b")])
def test_shp_prefers_a_where_its_label_is_1(label: int, chosen: str):
    [pair] = pairs("shp", **SHP, labels=label)
    assert isinstance(pair, Pair)
    assert pair.chosen == chosen


def test_ties_are_counted():
    assert pairs("shp", **{**SHP, "score_A": 2}, labels=1) == [Skipped("tie")]
    assert pairs("ultrafeedback", score_chosen=7.0, score_rejected=7.0) == [Skipped("tie")]


def test_ultrafeedback_takes_the_last_message_of_each_conversation():
    def conversation(answer: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": answer}]

    [pair] = pairs(
        "ultrafeedback",
        prompt="Hi",
        prompt_id="x",
        chosen=conversation("good"),
        rejected=conversation("bad"),
        score_chosen=8.0,
        score_rejected=3.0,
    )
    assert isinstance(pair, Pair)
    assert (pair.chosen, pair.rejected) == ("good", "bad")


@pytest.mark.parametrize(("choice", "chosen"), [(0, "first"), (1, "second")])
def test_summaries_prefer_the_one_at_choice(choice: int, chosen: str):
    info = {
        "id": "t3",
        "post": "Long story.",
        "title": "Help",
        "subreddit": "r",
        "site": None,
        "article": None,
    }
    texts = [
        {"text": " first", "policy": "ref", "note": None},
        {"text": " second", "policy": "sup", "note": None},
    ]
    [pair] = pairs("summaries", info=info, summaries=texts, choice=choice)
    assert isinstance(pair, Pair)
    assert (pair.prompt, pair.chosen) == ("Help\nLong story.\n\nSummary: ", chosen)
    with pytest.raises(ConfigError, match="column 'choice': found 2, expected 0 or 1"):
        pairs("summaries", info=info, summaries=texts, choice=2)


@given(st.text(min_size=1), st.text(min_size=1), st.integers(0, 3))
def test_the_label_points_at_the_preferred_view_and_the_position_at_nothing(
    a: str, b: str, seed: int
):
    example, reverse = Pair("p", a, b, "g").example(seed), Pair("p", b, a, "g").example(seed)
    if a.strip() == b.strip():
        assert example == Skipped("both responses are the same")
        return
    assert isinstance(example, Example)
    assert isinstance(reverse, Example)
    assert isinstance(example.label, int)
    assert example.views[example.label] == "p" + a
    assert example.views[1 - example.label] == "p" + b
    # the position depends on the two texts and the seed, not on which of them is preferred
    assert example.label == reverse.label


def test_each_view_is_preferred_half_of_the_time():
    labels = [
        e.label
        for n in range(2000)
        if isinstance(e := Pair("p", f"a{n}", f"b{n}", "g").example(), Example)
    ]
    assert sum(map(int, labels)) == pytest.approx(1000, abs=3 * (2000 * 0.25) ** 0.5)


def test_there_is_a_configuration_for_each_dataset():
    for name in ("hh_rlhf", "shp", "ultrafeedback", "summaries"):
        assert (composed(name, ["data_root=/nowhere"])[0].name, composed(name, [])[0].family) == (
            name,
            "reward",
        )
