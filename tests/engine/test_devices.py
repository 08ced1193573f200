"""What a machine computes with, decided by what it says of itself and not by a stopwatch."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest

from w2sweep.engine import devices
from w2sweep.engine.devices import built_for_cpus, cpu_gains_from_bf16, device, gains_from_bf16
from w2sweep.values import ConfigError

AMD = """
processor\t: 0
vendor_id\t: AuthenticAMD
model name\t: AMD EPYC 9R14
flags\t\t: fpu sse sse2 avx2 avx512f {} vaes
"""
INTEL = """
processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Platinum
flags\t\t: fpu sse sse2 avx2 avx512f {} vaes
"""
ARM = """
processor\t: 0
CPU implementer\t: 0x41
Features\t: fp asimd sve i8mm bf16
"""


@pytest.mark.parametrize(
    ("cpuinfo", "gains"),
    [
        (AMD.format("avx512_bf16"), True),
        (AMD.format(""), False),
        (INTEL.format("avx512_bf16 amx_bf16 amx_tile"), True),
        (INTEL.format("avx512_bf16"), False),
        (INTEL.format("amx_tile"), False),
        (ARM, False),
        ("", False),
    ],
    ids=["AMD", "old AMD", "Intel with AMX", "Intel", "AMX without bf16", "ARM", "not Linux"],
)
def test_a_processor_gains_from_bf16_where_it_is_known_to(
    cpuinfo: str, gains: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert cpu_gains_from_bf16(cpuinfo) is gains
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(devices, "CPUINFO", tmp_path / "cpuinfo")
    assert gains_from_bf16("cpu") is gains


def test_a_machine_without_cpuinfo_does_not_gain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(devices, "CPUINFO", tmp_path / "nowhere")
    assert not gains_from_bf16("cpu")


def test_a_processor_has_the_name_that_its_maker_gave_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "cpuinfo"
    monkeypatch.setattr(devices, "CPUINFO", file)
    file.write_text("processor\t: 0\nmodel name\t: A Fast One: 2 GHz\nmodel name\t: B\n")
    devices.processor.cache_clear()
    assert devices.processor("cpu") == "A Fast One: 2 GHz"
    file.unlink()
    devices.processor.cache_clear()
    assert devices.processor("cpu")  # whatever the system calls it
    devices.processor.cache_clear()


@pytest.fixture(params=[True, False], ids=["GPU", "no GPU"])
def gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether torch sees a GPU."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: request.param)
    monkeypatch.setattr(devices, "built_for_cpus", lambda: False)
    return request.param


def test_a_gpu_is_used_where_there_is_one(gpu: bool):
    assert device("auto") == ("cuda" if gpu else "cpu")
    assert device("cpu") == "cpu"


def test_a_gpu_that_is_asked_for_and_not_there_is_one_line(gpu: bool):
    if gpu:
        assert device("gpu") == "cuda"
        return
    with pytest.raises(ConfigError) as refused:
        device("gpu")
    [line] = str(refused.value).splitlines()
    assert line.startswith("runtime.accelerator=gpu, but torch ")
    assert line.endswith(" sees none here: say auto or cpu")


def test_a_torch_that_is_built_for_cpus_is_not_asked_for_gpus(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(devices, "built_for_cpus", lambda: True)
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails
    assert device("auto") == "cpu"
    with pytest.raises(ImportError):
        device("gpu")


@pytest.mark.parametrize(
    ("version", "cpus"), [("2.13.0+cpu", True), ("2.13.0", False), ("2.13.0+cu130", False)]
)
def test_a_torch_says_in_its_version_that_it_is_built_for_cpus(
    version: str, cpus: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    built_for_cpus.cache_clear()
    assert built_for_cpus() is cpus
    monkeypatch.undo()
    built_for_cpus.cache_clear()
