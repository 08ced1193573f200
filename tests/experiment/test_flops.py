"""FLOPs of stages, each worked out by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import toys

from w2sweep.engine.stage import Stage
from w2sweep.experiment.difficulty import Known, Subset
from w2sweep.experiment.flops import Texts, asked, work
from w2sweep.experiment.ladder import HubRung, Ladder
from w2sweep.experiment.prompting import Prompted
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.stages import SplitTexts, Text
from w2sweep.experiment.target import Target
from w2sweep.experiment.tuning import LinearProbe, Lora
from w2sweep.experiment.weights import Applied, Weights

SIZE = 1_000_000
COUNTED = Texts({"supervisor": 90, "student": 80, "validation": 30, "test": 60}, tokens=12.5)


def hub(**changes: Any) -> Setting:
    """96 examples for supervisor and student, 32 to validate, 64 to test; batches of 16, 2 epochs,
    2 evaluations; texts of up to 32 tokens."""
    rung = HubRung(lr=1e-5, model="someone/model", params=SIZE, pretrain_tokens=0)
    return toys.setting(**{"ladder": Ladder("hub", {"s": rung, "l": rung}), **changes})


def flops(stage: Stage, *more: Any) -> float:
    found = work(stage, *more)
    assert found is not None
    return found.flops


def test_a_token_that_is_learned_is_six_flops_a_parameter_and_one_that_is_read_two():
    trained = 2 * 96
    answered = 2 * (32 + 64) + 96  # both evaluations, and the student's examples at the end
    assert flops(hub().ceiling) == SIZE * 32 * (6 * trained + 2 * answered)


def test_frozen_weights_have_no_gradient_of_their_own():
    adapted = flops(hub(tuning=Lora()).ceiling)
    assert adapted == SIZE * 32 * (4 * 2 * 96 + 2 * (2 * 96 + 96))


def test_activations_may_be_computed_again():
    again = flops(hub().ceiling, asked, True) - flops(hub().ceiling)
    assert again == SIZE * 32 * 2 * 2 * 96


def test_batches_are_whole():
    recipe = replace(hub().recipe, batch_size=20)  # 4 batches of 96 examples
    trained = flops(hub(recipe=recipe).ceiling) - flops(hub().ceiling)
    assert trained == SIZE * 32 * 6 * 2 * (80 - 96)


def test_pairs_have_two_texts():
    pairs, single = hub(task=toys.ToyPairs()).ceiling, hub().ceiling
    assert flops(pairs) == 2 * flops(single)


def test_what_is_known_of_texts_counts():
    found = work(hub().ceiling, lambda splits: COUNTED)
    assert found is not None
    assert not found.bound
    assert found.flops == SIZE * 12.5 * (6 * 2 * 80 + 2 * (2 * (30 + 60) + 80))
    unknown = work(hub().ceiling)
    assert unknown is not None
    assert unknown.bound


def test_some_examples_are_as_much_less():
    s = hub()
    some = Subset(Known(s.splits), s.splits, "student", "easy", 0.5, None, None, 0)
    whole, half = flops(s.ceiling), flops(s.finetune("l", rows=some))
    assert whole - half == SIZE * 32 * 6 * 2 * (96 - 48)


def test_a_probe_is_nothing_beside_its_features():
    probe = hub(tuning=LinearProbe()).ceiling
    assert probe.features is not None
    assert flops(probe) == 0.0
    assert flops(probe.features) == SIZE * 32 * 2 * (96 + 96 + 32 + 64)


def test_other_stages_that_read():
    s = hub()
    weights = Weights(s.ceiling)
    assert flops(weights) == flops(s.ceiling)
    elsewhere = Target(toys.Toy(), s.sizes).splits(1)
    assert flops(Applied(weights, elsewhere)) == SIZE * 32 * 2 * 64
    asks = {"wording": None, "shots": 3, "shown": None, "calibrated": False, "seed": 0}
    of = {"backbone": s.ceiling.backbone, "init": None, "splits": s.splits, "on": "student"}
    prompted = Prompted(**of, **asks, head=s.task.head, max_tokens=32)
    assert flops(prompted) == SIZE * 32 * 2 * 4 * (96 + 32 + 64)


def test_pretraining_counts_its_tokens():
    s = toys.setting()  # 40,000 tokens in steps of 8 x 24
    read = s.pretrained("l")
    assert read is not None
    steps = 40_000 // (8 * 24)
    found = work(read)
    assert found is not None
    assert (found.flops, found.bound) == (6 * read.size * steps * 8 * 24, False)
    texts = Text(SplitTexts(s.splits, "student"), read.text.tokenizer)
    epochs = replace(read, text=texts, recipe=replace(read.recipe, tokens=0, epochs=2))
    steps = -(-2 * 80 * 12.5 // (8 * 24))
    assert flops(epochs, lambda splits: COUNTED) == 6 * read.size * steps * 8 * 24


def test_texts_are_no_longer_than_the_model_reads():
    s = toys.setting()  # a tokenizer of 24 tokens
    assert flops(s.ceiling) == s.ceiling.size * 24 * (6 * 2 * 96 + 2 * (2 * 96 + 96))


@dataclass(frozen=True)
class Own(Stage[None]):
    n: int

    @property
    def size(self) -> int:
        return self.n


def test_of_a_class_of_ones_own_nothing_is_known():
    assert work(Own(7)) is None
    assert flops(Own(0)) == 0.0  # it runs no model


def test_a_model_of_unknown_size_computes_nobody_knows_what():
    ceiling = hub().ceiling
    assert work(replace(ceiling, backbone=replace(ceiling.backbone, parameters=0))) is None
