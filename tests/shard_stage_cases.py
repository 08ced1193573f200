"""Stages that two ranks run with one model together, beside the same on one device."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch.distributed as dist
from numpy.typing import NDArray
from safetensors.numpy import load_file
from side_by_side import Case
from toys import ToyPairs, killed_after, pretrained_store, rung, setting, store

from w2sweep.engine.job import Circumstances, StoreJob
from w2sweep.engine.runtime import Rank, Runtime
from w2sweep.experiment.losses import ConfidenceLoss
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.recipe import Recipe
from w2sweep.experiment.stages import Adapt, Finetune
from w2sweep.experiment.tuning import Lora
from w2sweep.experiment.weights import Weights
from w2sweep.learning import spread

RECIPE = Recipe(epochs=1, batch_size=16, head_lr=5.0, max_tokens=32, evaluations=2)
KEPT = Recipe(
    epochs=1, batch_size=16, head_lr=5.0, max_tokens=32, evaluations=3, early_stop="truth"
)
MICRO_TOKENS = 48
"""So few that a batch has several micro-batches, whose number two does not divide."""
TOLERANCE = 1e-4
"""The largest difference that another order of sums may make, of answers and of parameters."""
IN_BF16 = 0.05
"""The same of answers alone, where numbers have three digits: by AdamW what is noise in a gradient
that is about zero is as large in the step as any other."""
KILLED_AFTER = 4
"""Steps of six."""


def stages() -> dict[str, Finetune]:
    plain = setting(recipe=RECIPE)
    return {
        "naive": plain.ceiling,
        "confidence": plain.finetune("l", loss=ConfidenceLoss(warmup=0.0)),
        "lora": setting(recipe=RECIPE, tuning=Lora(rank=2)).ceiling,
        "lora_bf16": setting(recipe=RECIPE, tuning=Lora(rank=2, lr_scale=1.0, base="bf16")).ceiling,
        "reward": setting(ToyPairs(), recipe=RECIPE).ceiling,
        "kept": setting(recipe=KEPT).ceiling,
    }


def language_models() -> dict[str, Adapt]:
    """One that begins at random, and one that is trained on."""
    begun = setting().pretrained(rung(8, tokens=2000))
    learned = setting().pretrained("s")
    assert begun is not None
    assert learned is not None
    return {"begun": begun, "trained on": replace(begun, backbone=learned.backbone, init=learned)}


def fill_store(folder: Path) -> None:
    """With all that the stages read."""
    shelf = pretrained_store(folder / "store")
    shelf.ensure(*(stage.splits for stage in stages().values()))


def run(stage: Finetune | Adapt, out: Path, folder: Path) -> Path:
    """Runs a stage of the store in `folder`, and leaves the weights of a finetuned model in
    `out/weights` too; what it needs of an earlier run is in `out` already."""
    out.mkdir(parents=True, exist_ok=True)
    runtime = Runtime(
        accelerator="cpu",
        micro_tokens=MICRO_TOKENS,
        sharded=True,
        devices=spread.ranks(),
        checkpoint_seconds=1e-9,
    )
    wanted = [Weights(stage).name] if isinstance(stage, Finetune) else []
    whole = frozenset({stage.name})  # shards answer their own split at once; so does one device
    circumstances = Circumstances(runtime, planned=frozenset(wanted), read_whole=whole)
    with StoreJob(stage, out, circumstances, store(folder / "store").get) as job:
        job.rank = Rank(spread.rank(), spread.ranks())
        stage.run(job)
        for _, weights in job.delivered:
            weights.rename(out / "weights")
    return out


def run_in_two_lives(stage: Finetune, out: Path, folder: Path) -> Path:
    """The same, killed on the way and gone on with."""
    with killed_after(KILLED_AFTER):
        run(stage, out, folder)
    return out


def numbers(out: Path) -> dict[str, NDArray]:
    """All that a stage found and learned."""
    found = {name: np.asarray(said) for name, said in Predictions.load(out).answers.items()}
    for file in (out / "weights").glob("*.safetensors"):
        found |= load_file(file)
    return found


def largest_difference(a: Path, b: Path, only_answers: bool = False) -> float:
    found, expected = numbers(a), numbers(b)
    assert found.keys() == expected.keys()
    if only_answers:
        found = {name: found[name] for name in Predictions.load(a).answers}
    return max(float(np.abs(found[name] - expected[name]).max()) for name in found)


def place(folder: Path, name: str, how: str, rank: int | None = None) -> Path:
    """Where a run of a stage is: by one device, or by a rank of two."""
    return folder / how / (name if rank is None else f"{name}.{rank}")


def on_one_device(folder: Path) -> None:
    """What the cases compare with, and a checkpoint of a run that is killed."""
    fill_store(folder)
    for name, stage in stages().items():
        run(stage, place(folder, name, "one"), folder)
    run_in_two_lives(stages()["naive"], place(folder, "naive", "killed on one"), folder)
    for name, stage in language_models().items():
        run(stage, place(folder, name, "one"), folder)


def two_ranks_find_what_one_device_does(rank: int, folder: Path) -> None:
    for name, stage in stages().items():
        out = run(stage, place(folder, name, "two", rank), folder)
        if rank == 0:
            bf16 = name.endswith("bf16")
            told = largest_difference(out, place(folder, name, "one"), only_answers=bf16)
            print(f"{name}: {told:.1e}")
            assert told < (IN_BF16 if bf16 else TOLERANCE), (name, told)


def a_second_run_finds_the_same_to_the_bit(rank: int, folder: Path) -> None:
    for name in ("confidence", "lora"):
        out = run(stages()[name], place(folder, name, "again", rank), folder)
        if rank == 0:
            assert largest_difference(out, place(folder, name, "two", 0)) == 0.0


def one_that_is_killed_finds_the_same_to_the_bit(rank: int, folder: Path) -> None:
    for name in ("confidence", "kept"):
        out = run_in_two_lives(stages()[name], place(folder, name, "killed", rank), folder)
        hand_on(place(folder, name, "killed", 0), out, rank)
        run(stages()[name], out, folder)
        if rank == 0:
            assert largest_difference(out, place(folder, name, "two", 0)) == 0.0


def two_ranks_go_on_from_the_checkpoint_of_one_device(rank: int, folder: Path) -> None:
    out = place(folder, "naive", "one and two", rank)
    hand_on(place(folder, "naive", "killed on one"), out, rank=1)
    run(stages()["naive"], out, folder)
    if rank == 0:
        assert largest_difference(out, place(folder, "naive", "one")) < TOLERANCE
    run_in_two_lives(stages()["naive"], place(folder, "naive", "killed on two", rank), folder)


def hand_on(of: Path, to: Path, rank: int) -> None:
    """The first rank writes checkpoints, and the others read them."""
    dist.barrier()
    if rank:
        to.mkdir(parents=True, exist_ok=True)
        shutil.copy(of / "checkpoint.safetensors", to)


def language_models_learn_as_on_one_device(rank: int, folder: Path) -> None:
    for name, stage in language_models().items():
        out = run(stage, place(folder, name, "two", rank), folder)
        if rank == 0:
            found, expected = (
                load_file(where / "model.safetensors")
                for where in (out, place(folder, name, "one"))
            )
            assert found.keys() == expected.keys()
            for key, tensor in expected.items():
                np.testing.assert_allclose(found[key], tensor, atol=TOLERANCE)


CASES: tuple[Case, ...] = (
    two_ranks_find_what_one_device_does,
    a_second_run_finds_the_same_to_the_bit,
    one_that_is_killed_finds_the_same_to_the_bit,
    two_ranks_go_on_from_the_checkpoint_of_one_device,
    language_models_learn_as_on_one_device,
)
