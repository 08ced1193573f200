"""What this machine computes with: which device, and whether in bf16."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
from pathlib import Path
from typing import Literal

from w2sweep.values import ConfigError

Accelerator = Literal["auto", "cpu", "gpu"]
Device = Literal["cpu", "cuda"]
CPUINFO = Path("/proc/cpuinfo")
"""Where Linux describes the CPU."""


def device(accelerator: Accelerator) -> Device:
    """Where stages compute. Raises ConfigError where a GPU is asked for and there is none."""
    if accelerator == "cpu" or (accelerator == "auto" and built_for_cpus()):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if accelerator == "gpu":
        raise ConfigError(
            f"runtime.accelerator=gpu, but torch {torch.__version__} sees none here: "
            "say auto or cpu"
        )
    return "cpu"


@functools.cache
def built_for_cpus() -> bool:
    """Whether the torch that is installed says, before a second goes by in importing it, that it
    knows no GPU."""
    return importlib.metadata.version("torch").endswith("+cpu")


def check_devices(accelerator: Accelerator, devices: int) -> None:
    """Raises ConfigError where a stage is to be spread over more GPUs than there are. On CPUs any
    number of processes will do."""
    if devices == 1 or device(accelerator) == "cpu":
        return
    import torch

    if (found := torch.cuda.device_count()) < devices:
        raise ConfigError(
            f"runtime.devices: found {devices}, but there are {found} GPUs here (as "
            f"CUDA_VISIBLE_DEVICES shows them): lower runtime.devices to {found}"
        )


def gains_from_bf16(on: Device) -> bool:
    """Whether matmuls are faster in bf16 than in fp32, by what the processor says it can do."""
    if on == "cpu":
        return cpu_gains_from_bf16(_cpu_description())
    import torch

    return torch.cuda.is_bf16_supported(including_emulation=False)


def cpu_gains_from_bf16(description: str) -> bool:
    """Whether a CPU with this /proc/cpuinfo is one that is known to gain from bf16.

    The instructions alone do not make it fast: matmuls in bf16 were seen at 2.2 times the rate of
    those in fp32 on an AMD with AVX512-BF16, at 0.5 on an Intel that has it without AMX, and at
    0.02 where bf16 is emulated.
    """
    words = set(description.split())
    return "amx_bf16" in words or {"AuthenticAMD", "avx512_bf16"} <= words


@functools.cache
def processor(of: Device) -> str:
    """What this machine's processor, or its GPU, is called by its maker."""
    if of == "cuda":
        import torch

        return torch.cuda.get_device_name()
    lines = _cpu_description().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _cpu_description() -> str:
    try:
        return CPUINFO.read_text()
    except OSError:  # not Linux
        return ""
