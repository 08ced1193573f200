"""`benchmarks/gpu.py`, where there is no GPU: it runs, and its table tells what does not."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
gpu: Any = importlib.import_module("gpu")
models: Any = importlib.import_module("gpu_models")

TINY = models.Machine(cpu=True, length=16)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(models.Machine, "rates", {"fp32": 1e12, "bf16": 2e12})
    return gpu.Bench(TINY, seconds=60)


@pytest.mark.parametrize(("name", "parameters"), {"124M": 124e6, "400M": 4e8, "4B": 4e9}.items())
def test_models_have_the_parameters_of_their_names(name: str, parameters: float):
    config = models.configuration(models.Machine(cpu=False).shapes[name])
    with torch.device("meta"):
        lm = AutoModelForCausalLM.from_config(config)
    counted = sum(p.numel() for p in lm.parameters())
    assert counted == pytest.approx(parameters, rel=0.05)
    shape = models.Machine(cpu=False).shapes[name]
    layers = sum(p.numel() for p in models.layers(lm.base_model).parameters() if p.ndim == 2)
    assert models.matrices(shape) == layers  # 6 FLOPs are counted for each


def test_rates_are_of_what_a_model_computes(bench: Any):
    found = bench.rates(1000, flops=6e8)
    assert found["TFLOP/s"] == 0.6
    assert (found["of bf16"], found["of fp32"], found["of peak"]) == (0.3, 0.6, None)


def test_a_killed_training_goes_on_and_equals_that_of_a_cpu(bench: Any):
    told = [bench.measured(row)["..."] for row in bench.checks("0.1M")]
    assert told == ["the same bits", "0.0e+00 from a CPU, as it should"]


def test_a_training_with_adapters_beside_a_base_in_bf16_is_timed(bench: Any):
    row = bench.training("0.2M", "LoRA", lora=True, base="bf16", precision="bf16-mixed")
    found = bench.measured(row)
    assert found["tokens/s"] > 0
    assert found["..."] == ""


def test_what_fails_for_memory_is_a_row_and_so_is_what_there_is_no_time_for(
    bench: Any, capsys: pytest.CaptureFixture
):
    def work() -> dict:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    row = gpu.Row("training", "4B", "fp32", work, seconds=1.0)
    assert bench.measured(row)["..."].startswith("failed, out of memory: CUDA out of memory")
    found = gpu.Bench(TINY, seconds=0.0).run()
    assert all(row["..."].startswith("left out: about") for row in found)
    assert "left out" in capsys.readouterr().out
