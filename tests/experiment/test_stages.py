"""The graph: methods are expressions over stages, and what is shared is shared by construction.

Nothing trains here.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from toys import ToyCompletions, ToyPairs, cell, rung, setting

from w2sweep.building import made
from w2sweep.engine.stage import closure
from w2sweep.experiment.backbone import Tokenizer
from w2sweep.experiment.cell import Cell
from w2sweep.experiment.kinds import Labels
from w2sweep.experiment.ladder import Ladder, Rung
from w2sweep.experiment.losses import ConfidenceLoss, CrossEntropy
from w2sweep.experiment.methods import Bootstrap, Naive, Scratch
from w2sweep.experiment.recipe import Recipe
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.splits import Sizes
from w2sweep.experiment.stages import Adapt, Finetune
from w2sweep.experiment.tuning import LinearProbe
from w2sweep.lab.text.tasks import Sentiment
from w2sweep.lab.text.world import World
from w2sweep.tasks.heads import Choice
from w2sweep.values import ConfigError, Impossible

NAIVE, BOOTSTRAP = Naive("naive", CrossEntropy()), Bootstrap("bootstrap", CrossEntropy())


def climbed(s: Setting, method: Bootstrap = BOOTSTRAP) -> Finetune:
    """The last step."""
    student = method.student(s)
    assert isinstance(student, Finetune)
    return student


def distinct(cells: list[Cell], kind: type) -> int:
    stages = closure(tuple(s for c in cells for s in (c.student, c.setting.ceiling)))
    return sum(isinstance(s, kind) for s in stages)


def test_a_naive_student_learns_from_its_supervisor():
    s = setting()
    student = NAIVE.student(s)
    assert student.labels == s.supervisor
    assert s.supervisor == s.weak_model
    assert (student.on, s.weak_model.on, s.ceiling.on) == ("student", "supervisor", "student")
    assert (student.role, s.weak_model.role, s.ceiling.role) == ("student", "supervisor", "ceiling")
    assert student.backbone == s.ceiling.backbone == s.ladder.rungs["l"].backbone("l")
    assert student.init == s.ceiling.init == s.pretrained("l")


def test_bootstrapping_climbs_the_rungs_between():
    s = setting()
    chain = [climbed(s)]
    while isinstance(labels := chain[-1].labels, Finetune):
        chain.append(labels)
    assert [f.label for f in chain] == ["l", "m", "s"]
    assert [f.init for f in chain] == [s.pretrained(r) for r in ("l", "m", "s")]


def rungs(student: Labels) -> list[str]:
    """Who labelled for whom, the supervisor first."""
    if not isinstance(student, Finetune) or student.labels is None:
        return [student.label]
    return [*rungs(student.labels), student.label]


SEVEN: dict[
    str, Rung
] = {  # width by name: evenly spread in compute are not the ones evenly spread on the ladder
    **{"s": rung(8), "a": rung(12), "b": rung(16), "c": rung(24), "d": rung(32), "e": rung(96)},
    "l": rung(256),
}


@pytest.mark.parametrize(
    ("intermediate", "between"),
    [(0, []), (1, ["d"]), (2, ["c", "e"]), (3, ["b", "d", "e"]), ("all", list("abcde"))],
)
def test_bootstrapping_takes_rungs_evenly_spread_in_compute(intermediate, between):
    s = setting(ladder=Ladder("seven", SEVEN, Tokenizer("word", context=24)))
    method = Bootstrap("bootstrap", CrossEntropy(), intermediate=intermediate)
    assert rungs(method.student(s)) == ["s", *between, "l"]


def test_rungs_without_compute_are_taken_evenly_from_the_ladder():
    untrained: dict[str, Rung] = {name: r.untrained() for name, r in SEVEN.items()}
    s = setting(ladder=Ladder("seven", untrained, Tokenizer("word", context=24)))
    assert rungs(BOOTSTRAP.student(s)) == ["s", "b", "d", "l"]


def test_bootstrapping_takes_fresh_examples_where_there_are_enough():
    for sets, on in ((1, "student"), (2, "student_2"), (3, "student_2")):
        sizes = Sizes(supervisor=60, student=60, student_sets=sets, validation=20, test=40)
        assert climbed(setting(sizes=sizes)).on == on
        same = Bootstrap("bootstrap", CrossEntropy(), fresh_per_step=False)
        assert climbed(setting(sizes=sizes), same).on == "student"


def test_one_step_of_bootstrapping_is_the_naive_student():
    s = setting(strong="m")
    assert BOOTSTRAP.student(s).key == NAIVE.student(s).key
    assert climbed(setting()).labels == NAIVE.student(s)


def test_bootstrapping_may_take_fresh_examples_at_each_step():
    sizes = Sizes(supervisor=60, student=60, student_sets=2, validation=20, test=40)
    s, fresh = setting(sizes=sizes), Bootstrap("bootstrap", CrossEntropy(), fresh_per_step=True)
    last = climbed(s, fresh)
    assert isinstance(last.labels, Finetune)
    assert (last.labels.on, last.on) == ("student", "student_2")
    cause = r"2 steps from s to l on fresh examples .* set sizes.student_sets=2"
    with pytest.raises(Impossible, match=cause):
        Cell(setting(), fresh)


def test_a_grid_trains_nothing_twice():
    pairs = [("s", "m"), ("s", "l"), ("m", "l")]
    grid = product(pairs, (NAIVE, BOOTSTRAP), (0, 1))
    cells = [Cell(setting(weak=w, strong=st, seed=seed), m) for (w, st), m, seed in grid]
    # a seed: 2 supervisors, 2 ceilings, 3 naive students and one more for bootstrapping from s to l
    assert distinct(cells, Finetune) == 2 * (2 + 2 + 3 + 1)
    assert distinct(cells, Adapt) == 3


def test_a_scratch_student_shares_all_but_its_own_weights():
    s = setting()
    student = Scratch("scratch", CrossEntropy()).student(s)
    assert student.labels == s.supervisor
    assert student.backbone == s.ceiling.backbone
    assert isinstance(student.init, Adapt)
    assert student.init.recipe.tokens == 0


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": Recipe(epochs=3, batch_size=16)},
        {"sizes": Sizes(supervisor=96, student=96, validation=32, test=65)},
        {"tuning": LinearProbe()},
        {"seed": 1},
        {"task": ToyPairs()},
    ],
)
def test_what_changes_the_result_changes_the_key(change: dict):
    assert setting(**change).supervisor.key != setting().supervisor.key


def test_the_strong_rung_does_not_enter_the_supervisor():
    assert setting(strong="m").supervisor.key == setting(strong="l").supervisor.key


def test_the_loss_of_the_student_does_not_enter_supervisor_and_ceiling():
    confident = Cell(setting(), Naive("confidence", ConfidenceLoss()))
    assert confident.setting.ceiling.key == cell().setting.ceiling.key
    assert confident.student.key != cell().student.key


def test_the_grid_has_cells_with_nothing_to_run():
    assert setting(weak="s", strong="m").comparable
    assert not setting(weak="m", strong="m").comparable
    assert not setting(weak="l", strong="m").comparable


def test_an_unknown_rung_is_refused():
    with pytest.raises(ConfigError, match=r"no rung 'xl' on ladder 'toys'; it has s, m, l"):
        cell(strong="xl")


def test_a_method_that_makes_no_sense_for_a_task_is_refused():
    with pytest.raises(
        ConfigError, match="ConfidenceLoss needs two classes, but task toy_completions generates"
    ):
        Cell(setting(ToyCompletions()), Naive("confidence", ConfidenceLoss()))
    with pytest.raises(
        ConfigError, match="probe chooses between classes, but task toy_completions generates"
    ):
        cell(ToyCompletions(), tuning=LinearProbe())


def test_the_size_of_a_homegrown_rung_is_what_transformers_counts():
    from transformers import LlamaConfig, LlamaForCausalLM

    for homegrown in (rung(12), replace(rung(32), depth=3)):
        config = LlamaConfig(
            vocab_size=7,
            hidden_size=homegrown.width,
            intermediate_size=homegrown.backbone("").feedforward,
            num_hidden_layers=homegrown.depth,
            num_attention_heads=2,
            tie_word_embeddings=True,
        )
        parameters = sum(p.numel() for p in LlamaForCausalLM(config).parameters())
        assert homegrown.size == parameters - 7 * homegrown.width
        assert homegrown.compute == 6 * homegrown.size * homegrown.tokens


def test_a_head_has_as_many_classes_as_the_labels():
    task = Sentiment(name="sentiment", world=World(seed=0, tokens=1000), head=Choice(2))
    assert cell(task).student
    of_three = replace(task, head=Choice(3))
    with pytest.raises(ConfigError, match=r"task.head.classes: found 3, but .* of 2 classes: set"):
        cell(of_three)
    with pytest.raises(ConfigError, match=r"classes: found 1 \(int\), expected greater than or"):
        made(Choice, {"classes": 1})
