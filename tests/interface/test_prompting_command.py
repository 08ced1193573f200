"""Prompting on real questions through the command: a supervisor pretrained on the spot, and a
student in a folder. What they answer means nothing, they are tiny."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from commands import cells, stages, w2sweep
from toys import ToyCorpus
from transformers import GPT2Config, GPT2LMHeadModel

from w2sweep.experiment.backbone import Tokenizer
from w2sweep.learning.tokens import train_tokenizer

TINY = (
    "sizes={supervisor: 32, student: 32, validation: 8, test: 16, max_chars: 300}",
    "ladder.rungs.nano.tokens=2000",
    "recipe.epochs=1",
    "recipe.evaluations=1",
    "recipe.max_tokens=256",
)


def test_a_model_of_the_hub_is_asked_real_questions(shared: Path, tmp_path: Path):
    texts = list(ToyCorpus().documents())
    tokenizer = train_tokenizer(Tokenizer("bpe", vocabulary=400), texts)
    sizes: dict[str, Any] = {"n_embd": 8, "n_layer": 1, "n_head": 1, "n_positions": 2048}
    sizes |= {"vocab_size": len(tokenizer), "bos_token_id": 1, "eos_token_id": 1}
    GPT2LMHeadModel(GPT2Config(**sizes)).save_pretrained(tmp_path / "gpt")
    tokenizer.save_pretrained(tmp_path / "gpt")
    facts = "model: gpt, lr: 1e-4, params: 10000000, pretrain_tokens: 1000000000"
    rung = f"+ladder.rungs.mine={{_target_: w2sweep.experiment.ladder.HubRung, {facts}}}"
    asked = ["task=sciq", f"data_root={shared / 'data' / 'hub'}", "weak=nano", "strong=mine", rung]
    w2sweep(tmp_path, *TINY, *asked, "method=zero_shot,few_shot_weak", "sweep=asked", seconds=300)
    found = cells(tmp_path, "asked")
    assert {cell["method"] for cell in found} == {"zero_shot", "few_shot_weak"}
    students = {stages(cell)["student"].partition("/")[0] for cell in found}
    assert students == {"Prompted"}
