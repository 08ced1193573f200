"""Prompting: what is read from a language model's logits, and what stands before it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_loading import SOUND
from toys import (
    Toy,
    ToyCompletions,
    ToyCorpus,
    ToyPairs,
    outspoken,
    pretrained_store,
    run,
    setting,
)
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedConfig,
)

from w2sweep.engine.store import Store
from w2sweep.experiment.backbone import HubModel, Tokenizer
from w2sweep.experiment.cell import Cell
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.prompting import Prompted, Prompting
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.supervision import Simulated
from w2sweep.learning.model import Net
from w2sweep.learning.prefix import Prefix
from w2sweep.learning.prompting import Writer, log_likelihoods, probabilities, spread
from w2sweep.learning.tokens import marks_of, token_ids, train_tokenizer
from w2sweep.tasks.example import Example
from w2sweep.tasks.task import Task
from w2sweep.tasks.wording import Wording
from w2sweep.values import ConfigError, Impossible

CPU = torch.device("cpu")
BPE = train_tokenizer(Tokenizer("bpe", vocabulary=300), list(ToyCorpus().documents()))
TOYS = Wording("{text} is", (" poor", " fine"), between=" ")
PAIRS = Wording("{first} or {second} is", (" poor", " fine"), between=" ")
PROMPTS = ["the sun is", "one old old song was there and it was", "a", "the mud is old"]


def net_of(config: PreTrainedConfig) -> Net:
    return Net(outspoken(config), BPE, None).eval()


def plain(net: Net, prompt: list[int], word: list[int]) -> float:
    """log p(word | prompt), token by token, of whole sequences without padding."""
    total = 0.0
    for n, token in enumerate(word):
        ids = torch.tensor([prompt + word[:n]])
        with torch.no_grad():
            logits = net.lm(input_ids=ids, use_cache=False).logits[0, -1]
        total += float(logits.float().log_softmax(-1)[token])
    return total


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "neox", "bloom", "opt", "mamba"])
@pytest.mark.parametrize("words", [[[5], [9]], [[5, 6], [9], [7, 8, 10]]], ids=["one", "several"])
def test_behind_a_prefix_words_are_as_likely_as_in_the_whole_sequence(family: str, words):
    net = net_of(SOUND[family])
    before = token_ids(BPE, ["the rose was fine and one thorn"])[0]
    prompts = token_ids(BPE, PROMPTS, begin=False)
    for start in (before, []):
        prefix = Prefix(net, start, CPU)
        assert (prefix.cache is not None) == (bool(start) and family != "mamba")
        found = log_likelihoods(prefix, prompts, words, budget=100, device=CPU)
        pairs = product(prompts, words)
        one_by_one = [plain(net, start + prompt, word) for prompt, word in pairs]
        expected = np.reshape(one_by_one, (len(prompts), len(words)))
        np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)
        again = log_likelihoods(prefix, prompts, words, budget=1, device=CPU)
        np.testing.assert_allclose(again, expected, atol=1e-5, rtol=1e-5)


def test_class_probabilities_are_shares_of_the_answer_words():
    found = np.log(np.array([[[0.3, 0.1]], [[0.02, 0.06]]], dtype=np.float32))
    np.testing.assert_allclose(probabilities(found, TOYS), [[0.75, 0.25], [0.25, 0.75]], rtol=1e-5)


def test_both_orders_of_a_pair_are_averaged():
    # in the first order the first is the better one by 3 : 1, in the second order it stands second
    found = np.log(np.array([[[0.3, 0.1], [0.2, 0.2]]], dtype=np.float32))
    mean = [(0.75 + 0.5) / 2, (0.25 + 0.5) / 2]
    np.testing.assert_allclose(probabilities(found, PAIRS), [mean], rtol=1e-5)
    always_first = np.log(np.array([[[0.9, 0.1], [0.9, 0.1]]], dtype=np.float32))
    np.testing.assert_allclose(probabilities(always_first, PAIRS), [[0.5, 0.5]], rtol=1e-5)


def test_views_that_are_asked_by_themselves_are_compared_by_their_odds():
    # odds of the word for the better one: 1/3 and 3
    found = np.log(np.array([[[0.3, 0.1], [0.1, 0.3]]], dtype=np.float32))
    np.testing.assert_allclose(probabilities(found, TOYS), [[0.1, 0.9]], rtol=1e-5)


def test_demonstrations_are_of_all_classes_and_the_same_for_any_number():
    labels = np.array([0] * 30 + [1] * 5 + [2] * 5)
    five = spread(labels, 5, seed=3)
    assert sorted(Counter(labels[five].tolist()).values()) == [1, 2, 2]
    np.testing.assert_array_equal(spread(labels, 3, seed=3), five[:3])
    assert sorted(labels[five[:3]]) == [0, 1, 2]
    assert not np.array_equal(spread(labels, 5, seed=4), five)
    assert len(set(spread(labels, 99, seed=3))) == 40  # all, each once


def test_a_label_decides_only_whose_turn_it_is():
    labels = np.array([0, 1] * 20)
    turned = labels.copy()
    turned[spread(labels, 40, seed=0)[30:]] ^= 1  # far down the order
    np.testing.assert_array_equal(spread(labels, 5, 0), spread(turned, 5, 0))


def test_too_long_texts_lose_their_beginnings_and_templates_nothing():
    wording = Wording("1: {first} 2: {second} better", (" 1", " 2"))
    bare = len(token_ids(BPE, [wording.filled(["", ""])], begin=False)[0])
    short, long = "sun", "mud " * 50 + "rose"
    writer = Writer(BPE, wording, bare + 16)
    ids = writer.prompts([Example.of(short, long, label=0), Example.of(short, "one", label=0)])
    told = [str(BPE.decode(its)) for its in ids]
    assert max(map(len, ids)) <= bare + 16
    assert told[0].startswith("1: sun 2: ")
    assert told[0].endswith("mud mud rose better")
    assert told[2:] == ["1: sun 2: one better", "1: one 2: sun better"]
    assert writer.cut == 2
    with pytest.raises(ConfigError, match=r"template has \d+ tokens, which leaves no room"):
        Writer(BPE, wording, bare + 1)


def test_words_that_a_tokenizer_does_not_tell_apart_are_refused():
    tokenizer = train_tokenizer(Tokenizer("word"), ["a fine text"])
    Writer(tokenizer, Wording("{text}", (" a", " fine")), 40)
    with pytest.raises(ConfigError, match="does not know ' poor'"):
        Writer(tokenizer, Wording("{text}", (" poor", " fine")), 40)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Store:
    shelf = pretrained_store(tmp_path_factory.getbasetemp() / "toys")
    for task in (ToyPairs(), ToyCompletions()):
        s = setting(task)
        pretrained = s.pretrained("l")
        assert pretrained
        shelf.ensure(s.splits, pretrained)
    return shelf


def student(task: Task | None = None, shots: int = 0, **changes: Any) -> Prompted:
    """A prompted student of the largest toy."""
    s = setting(task or Toy(wording=TOYS), **changes.pop("setting", {}))
    shows = changes.pop("shows", "truth")
    return Prompting("mine", CrossEntropy(), shots, shows, **changes).student(s)


def said(stage: Prompted, folder: Path, shelf: Store) -> tuple[dict[str, Any], dict[str, Any]]:
    facts = run(stage, folder, shelf)
    return dict(Predictions.load(folder).answers), facts


def accuracy(stage: Prompted, answers: dict[str, Any], shelf: Store) -> float:
    return float(stage.head.correct(answers["test"], shelf.get(stage.splits)["test"]).mean())


def test_a_pretrained_model_knows_what_its_text_says(shelf: Store, tmp_path: Path):
    for n, shots in enumerate((0, 2)):
        stage = student(shots=shots)
        answers, facts = said(stage, tmp_path / str(n), shelf)
        assert set(answers) == {"student", "validation", "test"}
        np.testing.assert_allclose(answers["test"].sum(-1), 1, rtol=1e-5)
        assert accuracy(stage, answers, shelf) > 0.8
        assert facts["prompts_cut"] == 0
        assert ("shots" in facts) == (shots > 0)


def test_as_many_demonstrations_are_shown_as_leave_room_for_the_longest_prompt(
    shelf: Store, tmp_path: Path
):
    splits = shelf.get(setting().splits)
    queries = [e for name, its in splits.items() if name != "supervisor" for e in its]
    longest = max(len(e.views[0].split()) + 1 for e in queries)
    _, facts = said(student(shots=9), tmp_path / "some", shelf)
    texts = [e.views[0] for e in splits["student"]]
    picked = spread(np.array([int(e.label) for e in splits["student"]]), 9, seed=0)
    lengths = np.cumsum([len(texts[n].split()) + 2 for n in picked])  # " is" and the answer
    room = 24 - 1 - longest - 1  # one token begins texts, one answers
    assert facts["shots"] == (lengths <= room).sum() > 0
    wordy = replace(TOYS, between=" the" * 12)
    with pytest.raises(ConfigError, match="no demonstration has room before the longest prompt"):
        said(student(Toy(wording=wordy), shots=1), tmp_path / "none", shelf)


def test_pairs_are_told_apart_view_by_view(shelf: Store, tmp_path: Path):
    stage = student(ToyPairs(wording=TOYS), shots=1)
    answers, _ = said(stage, tmp_path, shelf)
    assert accuracy(stage, answers, shelf) > 0.8


def test_completions_are_the_pretrained_models_own(shelf: Store, tmp_path: Path):
    stage = student(ToyCompletions())
    answers, _ = said(stage, tmp_path, shelf)
    assert {text.split()[0] for text in answers["test"]} <= {"fine", "poor"}


def test_calibration_divides_by_what_is_said_of_nothing(shelf: Store, tmp_path: Path):
    wording = replace(TOYS, content_free="the")
    raw, _ = said(student(Toy(wording=wording)), tmp_path / "raw", shelf)
    calibrated = student(Toy(wording=wording), calibrated=True)
    found, _ = said(calibrated, tmp_path / "calibrated", shelf)
    net = loaded(shelf)
    marks, _ = marks_of(net.tokenizer)
    prompt, poor, fine = token_ids(net.tokenizer, ["the is", " poor", " fine"], begin=False)
    free = np.exp([plain(net, marks + prompt, word) for word in (poor, fine)])
    divided = raw["test"] / free
    np.testing.assert_allclose(found["test"], divided / divided.sum(-1, keepdims=True), atol=1e-5)


def loaded(shelf: Store) -> Net:
    from transformers import AutoTokenizer

    pretrained = setting().pretrained("l")
    assert pretrained
    folder = shelf.get(pretrained)
    lm = AutoModelForCausalLM.from_pretrained(folder)
    return Net(lm, AutoTokenizer.from_pretrained(folder), None).eval()


def test_demonstrations_bear_the_labels_that_they_are_given(shelf: Store, tmp_path: Path):
    wrong = {"supervision": Simulated("random", 1.0)}  # all of them wrong
    weak, true = student(shots=2, shows="weak", setting=wrong), student(shots=2)
    assert weak.shown is not None
    assert true.shown is None
    shelf.ensure(weak.shown)
    turned, _ = said(weak, tmp_path / "weak", shelf)
    straight, _ = said(true, tmp_path / "true", shelf)
    assert np.abs(turned["test"] - straight["test"]).max() > 1e-4


def test_the_wording_is_no_part_of_what_is_trained():
    one, other = (setting(Toy(wording=w)) for w in (TOYS, replace(TOYS, words=(" bad", " good"))))
    assert one.splits.key == other.splits.key == setting().splits.key
    assert one.ceiling.key == other.ceiling.key == setting().ceiling.key
    students = [Prompting("mine", CrossEntropy(), 0, "weak").student(s) for s in (one, other)]
    assert students[0].key != students[1].key
    assert students[0].shown is None  # nobody's labels are shown zero-shot


def cell(s: Setting, shots: int = 0, calibrated: bool = False) -> Cell:
    return Cell(s, Prompting("mine", CrossEntropy(), shots, "weak", calibrated))


def test_what_shows_demonstrations_is_not_called_zero_shot():
    with pytest.raises(ConfigError, match=r"shots: found 3, expected 0 .* use method=few_shot"):
        Prompting("zero_shot", CrossEntropy(), 3, "weak")
    with pytest.raises(ConfigError, match=r"method.shots: found 97, but there are 96 examples"):
        Prompting("mine", CrossEntropy(), 97, "weak").student(setting(Toy(wording=TOYS)))


def test_what_cannot_be_asked_is_told_before_anything_runs():
    assert cell(setting(ToyCompletions())).student
    with pytest.raises(Impossible, match="demonstrations are shown where classes are asked for"):
        cell(setting(ToyCompletions()), shots=5)
    with pytest.raises(Impossible, match="answers are calibrated where classes are asked for"):
        cell(setting(ToyCompletions()), calibrated=True)
    with pytest.raises(Impossible, match=r"does not say how.*: set task\.wording"):
        cell(setting())
    with pytest.raises(ConfigError, match=r"found \{first\} and \{second\}, but examples have"):
        cell(setting(Toy(wording=PAIRS)))
    three = Wording("{text} is", (" a", " b", " c"))
    with pytest.raises(ConfigError, match="words: found 3, expected one for each of the 2 classes"):
        cell(setting(Toy(wording=three)))


def test_a_model_of_the_hub_is_asked_with_words_of_several_tokens(shelf: Store, tmp_path: Path):
    folder = tmp_path / "gpt2"
    sizes: dict[str, Any] = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 128}
    config = GPT2Config(vocab_size=len(BPE), bos_token_id=1, eos_token_id=1, **sizes)
    GPT2LMHeadModel(config).save_pretrained(folder)
    BPE.save_pretrained(folder)
    wording = Wording("{first}\n{second}\nbetter:", (" the first one", " the other"))
    task = ToyPairs(wording=wording)
    hub = replace(student(task, shots=1), backbone=HubModel(str(folder)), init=None)
    answers, facts = said(hub, tmp_path / "out", shelf)
    assert answers["test"].shape == (64, 2)
    assert facts["shots"] == 1
