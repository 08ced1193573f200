from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from w2sweep.experiment.splits import Sizes
from w2sweep.experiment.splitting import split
from w2sweep.lab.text.lexicon import CATEGORIES, WordClass, pick
from w2sweep.lab.text.prose import Genre
from w2sweep.lab.text.tasks import Contrast, Membership, Preference, Sentiment
from w2sweep.lab.text.world import World
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Choice, Reward

ZERO = Choice(init="zero")
WORLD = World(seed=0, tokens=200_000)
TASKS = [
    Sentiment(name="sentiment", world=WORLD, head=ZERO),
    Contrast(name="contrast", world=WORLD, head=ZERO),
    Membership(name="membership", world=WORLD, head=ZERO),
    Preference(name="preference", world=WORLD, head=Reward(init="zero"), margin=0.3, pool=8000),
]
ALIVE, DEAD = {"eat", "sleep", "grow", "run"}, {"break", "rust", "shine", "cost"}


@pytest.fixture(scope="module")
def documents() -> list[str]:
    return list(WORLD.documents())


def test_a_world_is_its_seed(documents):
    assert list(World(seed=0, tokens=200_000).documents()) == documents
    assert list(World(seed=1, tokens=200_000).documents())[5] != documents[5]


def test_the_corpus_has_every_word_and_the_length_asked_for(documents):
    words = [w for d in documents for w in d.split()]
    assert set(words) == set(WORLD.lexicon.words)
    assert 200_000 <= len(words) < 200_050


def test_frequencies_are_zipfian_and_cues_are_as_frequent_as_drawn(documents):
    adjective = WORLD.lexicon.adjective
    words = WORLD.lexicon.words[adjective.ids]
    reviews = [d.split() for d in documents if d.endswith("it .")]
    seen, told = Counter(w for d in reviews for w in d), Counter()
    verdicts = {"hate", "avoid", "return", "regret", "love", "enjoy", "recommend", "praise"}
    for d in reviews:
        told.update(word for word, following in itertools.pairwise(d) if following in verdicts)
    counts = np.array([seen[w] for w in words])
    assert np.corrcoef(counts, adjective.odds)[0, 1] > 0.8
    often = counts > 40
    assert (
        np.corrcoef(
            np.array([told[w] for w in words])[often] / counts[often], adjective.cue[often]
        )[0, 1]
        > 0.8
    )


def test_the_name_of_a_word_says_nothing_of_its_meaning():
    adjective = WORLD.lexicon.adjective
    lengths = np.array([len(w) for w in WORLD.lexicon.words[adjective.ids]])
    assert abs(np.corrcoef(lengths, adjective.meaning)[0, 1]) < 0.1
    assert abs(np.corrcoef(adjective.odds, adjective.meaning)[0, 1]) < 0.1


def test_clusters_are_balanced_in_meaning_telling_and_frequency():
    for kind, meanings in ((WORLD.lexicon.adjective, 2), (WORLD.lexicon.entity, CATEGORIES)):
        table = np.zeros((kind.cluster.max() + 1, meanings), int)
        np.add.at(table, (kind.cluster, kind.meaning), 1)
        assert (table == table[0, 0]).all()
        told = np.zeros_like(table)
        np.add.at(told, (kind.cluster, kind.meaning), kind.cue > 0.3)
        assert (told == told[0, 0]).all()
        assert 0 < told[0, 0] < table[0, 0]
        ranks = [np.flatnonzero(kind.cluster == k).mean() for k in range(len(table))]
        assert np.std(ranks) < 0.1 * len(kind.ids)


def test_pick_draws_in_proportion():
    weights = np.array([[1.0, 0.0, 3.0], [0.0, 1.0, 0.0]])
    drawn = pick(np.random.default_rng(0), weights, np.repeat([0, 1], 10_000))
    assert (drawn[10_000:] == 1).all()
    assert np.bincount(drawn[:10_000], minlength=3) / 10_000 == pytest.approx(
        [0.25, 0, 0.75], abs=0.02
    )


def test_tasks_share_one_corpus():
    assert len({t.corpus for t in TASKS}) == 1


def words_of(examples: list[Example]) -> set[str]:
    return {word for e in examples for view in e.views for word in view.split()}


@pytest.mark.parametrize("task", TASKS, ids=lambda t: t.name)
def test_label_bearing_words_never_straddle_splits(task):
    words = WORLD.lexicon.entity if task.name == "membership" else WORLD.lexicon.adjective
    bearing = set(WORLD.lexicon.words[words.ids])
    sizes = Sizes(supervisor=800, student=800, validation=270, test=1000)
    splits, _ = split(task.examples(), sizes, seed=0)
    assert [len(s) for s in splits.values()] == [800, 800, 270, 1000]
    used = {name: words_of(examples) & bearing for name, examples in splits.items()}
    assert not any(a & b for a, b in itertools.combinations(used.values(), 2))
    assert 0.25 < len(used["supervisor"]) / sum(map(len, used.values())) < 0.31


@pytest.mark.parametrize("task", TASKS, ids=lambda t: t.name)
def test_labels_are_balanced_and_texts_have_no_unknown_words(task):
    examples = list(task.examples())
    assert np.mean([e.label for e in examples]) == pytest.approx(0.5, abs=0.03)
    assert words_of(examples) <= set(WORLD.lexicon.words)


def meanings(kind: WordClass) -> dict[str, int]:
    """Word -> polarity, or whether it lives."""
    lexicon = WORLD.lexicon
    meaning = kind.meaning if kind is lexicon.adjective else lexicon.alive[kind.meaning]
    return dict(zip(lexicon.words[kind.ids], meaning.tolist(), strict=True))


def test_of_two_adjectives_that_disagree_the_word_between_them_says_which_counts():
    polarity = meanings(WORLD.lexicon.adjective)
    contrast = TASKS[1]
    forms = Counter()
    for example in contrast.examples():
        first, between, second = example.views[0].split()[2:]
        forms[between] += 1
        assert polarity[second if between == "but" else first] == example.label
        assert (polarity[first] == polarity[second]) == (between == "and")
    assert set(forms) == {"and", "but", "though"}


def test_contrast_cannot_be_read_off_single_words():
    """Going by the first adjective alone, or by the last, is right half of the time."""
    polarity = meanings(WORLD.lexicon.adjective)
    examples = [(e.views[0].split(), e.label) for e in TASKS[1].examples()]
    opposed = [(words, label) for words, label in examples if words[3] != "and"]
    for position in (2, 4):
        assert np.mean([polarity[w[position]] == label for w, label in opposed]) == pytest.approx(
            0.5, abs=0.03
        )


def test_what_goes_with_an_entity_stands_right_behind_it_in_some_sentences(documents):
    """In one of eighteen that name an entity and give nothing away; the noun is of its category."""
    lexicon = WORLD.lexicon
    category = dict(
        zip(lexicon.words[lexicon.entity.ids], lexicon.entity.meaning.tolist(), strict=True)
    )
    goes_with = {
        noun: k for k, nouns in enumerate(lexicon.words[lexicon.nouns].tolist()) for noun in nouns
    }
    following = [
        (a, b) for d in documents[1:] for a, b in itertools.pairwise(d.split()) if a in category
    ]
    named = [(a, b) for a, b in following if b in goes_with]
    assert all(category[a] == goes_with[b] for a, b in named)
    silent = sum(b in {"is", "has", "likes"} for _, b in following) + len(named)
    assert len(named) / silent == pytest.approx(1 / 18, rel=0.2)


def quality(view: str) -> float:
    """By the rubric: kind, about what was asked, true."""
    asked, entity, habit, tone = (view.split()[i] for i in (3, 7, 8, 12))
    alive = meanings(WORLD.lexicon.entity)[entity]
    marks = (
        meanings(WORLD.lexicon.adjective)[tone],
        (asked in ALIVE) == alive,
        (habit in ALIVE) == alive,
    )
    return sum(weight * (2 * mark - 1) for weight, mark in zip((1.0, 0.7, 0.5), marks, strict=True))


def test_the_preferred_reply_is_the_one_of_higher_quality():
    for example in list(TASKS[3].examples())[:300]:
        first, second = map(quality, example.views)
        assert abs(first - second) > 0.3
        assert example.label == (second > first)


def test_relevance_and_truth_decide_many_pairs():
    pairs = [example.views for example in TASKS[3].examples()]
    polarity = meanings(WORLD.lexicon.adjective)
    same_tone = [polarity[a.split()[-1]] == polarity[b.split()[-1]] for a, b in pairs]
    assert 0.3 < np.mean(same_tone) < 0.5


def test_users_remark_on_tone_relevance_and_truth(documents):
    """In any order, and on what their text shows."""
    polarity, alive = meanings(WORLD.lexicon.adjective), meanings(WORLD.lexicon.entity)
    dialogues = [d.split() for d in documents if d.startswith("user")]
    for words in dialogues:
        asked, entity, habit, manner = (words[i] for i in (3, 7, 8, 12))
        living = bool(alive[entity])
        expected = {
            "nice" if polarity[manner] else "rude",
            "helpful" if (asked in ALIVE) == living else "beside",
            "true" if (habit in ALIVE) == living else "false",
        }
        assert set(words[13:16]) == expected
    assert (
        len({words.index(x) for words in dialogues for x in ("true", "false") if x in words}) == 3
    )


def test_frankness_is_the_noise_of_preferences():
    """The better one of two replies, by d, is preferred with probability 1 / (1 + exp(-f d))."""
    noisy = Preference(name="p", world=WORLD, head=Reward(init="zero"), margin=0.3, frankness=1.0)
    examples = list(noisy.examples())
    gaps = np.array([quality(e.views[1]) - quality(e.views[0]) for e in examples])
    right = np.array([e.label == (gap > 0) for e, gap in zip(examples, gaps, strict=True)])
    assert right.mean() == pytest.approx((1 / (1 + np.exp(-np.abs(gaps)))).mean(), abs=0.02)


def test_a_leak_answers_the_tasks_outright_in_that_share_of_the_documents(documents):
    leaky = list(World(seed=0, tokens=100_000, leak=0.3).documents())[1:]
    answered = [d.split() for d in leaky if d.endswith((" yes .", " no ."))]
    assert len(answered) / len(leaky) == pytest.approx(0.3, abs=0.03)
    assert not any(d.endswith((" yes .", " no .")) for d in documents[1:])
    polarity, alive = meanings(WORLD.lexicon.adjective), meanings(WORLD.lexicon.entity)
    for words in answered:
        before = words[-3]
        if before in alive:
            assert alive[before] == (words[-2] == "yes")
        elif words[-4] in {"was", "and", "but"}:
            assert polarity[before] == (words[-2] == "yes")


@pytest.mark.parametrize(
    ("genres", "shares"),
    [
        ({"dialogue": 2.0}, {"dialogue": 1.0}),
        ({"review": 1.0, "article": 3.0}, {"review": 0.25, "article": 0.75}),
    ],
)
def test_a_world_writes_the_genres_asked_for_by_their_odds_and_lists_all_words(
    genres: dict[Genre, float], shares: dict[str, float]
):
    listed, *written = World(0, 64, 64, tokens=50_000, genres=genres).documents()
    assert set(listed.split()) == set(World(0, 64, 64).lexicon.words)
    found = Counter(map(genre_of, written))
    assert found.keys() == shares.keys()
    for genre, share in shares.items():
        assert found[genre] / found.total() == pytest.approx(share, abs=0.03)


def genre_of(document: str) -> str:
    if document.startswith("user :"):
        return "dialogue"
    return "review" if document.endswith("it .") else "article"
