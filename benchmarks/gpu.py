"""What a GPU does: training, prediction and generation by models of 124 million to 4 billion
parameters, in at most four minutes, on a bare machine without network.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --seconds 600 --out gpu.json
    python benchmarks/gpu.py --cpu     # tiny models: does the script itself work?

It needs torch, transformers, pytorch-lightning and pydantic, and this package on PYTHONPATH; the
rows of LoRA need peft. Weights are random, made from configurations on the device. It has never
been run on a GPU yet; its CPU mode takes half a minute of CPU time.

Trainings are those of all stages: `learning.learner.fit` on texts of 512 tokens, batches of up to
32 of them, 16,384 tokens in one forward pass or half of it as often as memory runs out (column
`micro`). Columns: tokens a second; TFLOP/s of the model, 6 FLOPs a parameter outside of embeddings
and token (4 where a frozen base carries adapters, 2 where nothing learns) and causal attention,
none for activations that are computed again; its share of the rate of bf16 matmuls measured in this
run, and of the device's data sheet where it is known; the most memory that tensors had, and what
`experiment/memory.py` estimates, in GB. `waits`: how often, in one step, the processor waits for
the device; the JSON says where.

The most important rows come first, and what no longer fits into --seconds is left out, and said.
What fails, for memory or otherwise, is a row that says so.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before the first matmul

import torch
import transformers
from gpu_machine import Machine
from gpu_models import Choices, attention, matrices, timed, waits
from gpu_reading import (
    CLOSE,
    featuring,
    from_cpu,
    generating,
    predicting,
    prompting,
    resumes,
    side_by_side,
)

from w2sweep.experiment.shape import Shape
from w2sweep.learning.hardware import keep_freed_memory
from w2sweep.learning.memory import is_out_of_memory

COLUMNS = ("what", "model", "how", "tokens/s", "TFLOP/s", "of bf16", "of peak", "GB", "told", "...")
WIDTHS = (20, 6, 30, 11, 9, 8, 8, 7, 7)
LIKELY = 0.35
"""The share of the matmul rate by which it is guessed how long something takes."""
OVERHEAD = 4.0
"""Seconds that a measurement takes beside its steps."""
COMPILING = 40.0
A_ROW = 2.0
"""Seconds that are timed of each training."""

Found = dict[str, Any]
Work = Callable[[], Found]


@dataclass(frozen=True)
class Row:
    """Something to measure."""

    what: str
    model: str
    how: str
    work: Work
    seconds: float
    """That it is likely to take."""


@dataclass
class Bench:
    """All that is measured on a machine, most important first."""

    machine: Machine
    seconds: float
    rows: list[Found] = field(default_factory=list)

    def run(self) -> list[Found]:
        """Measures what there is time for, and prints a line for each."""
        started = time.perf_counter()
        print(line(dict(zip(COLUMNS, COLUMNS, strict=True))))
        for row in self.plan():
            left = self.seconds - (time.perf_counter() - started)
            found: Found = {"what": row.what, "model": row.model, "how": row.how}
            if row.seconds > left:
                found["..."] = f"left out: about {row.seconds:.0f} s, and {left:.0f} are left"
            else:
                found |= self.measured(row)
            self.rows.append(found)
            print(line(found), flush=True)
        return self.rows

    def measured(self, row: Row) -> Found:
        """What was found; or in a line why nothing was."""
        started = time.perf_counter()
        try:
            found = row.work()
        except Exception as error:  # one row is not worth the others
            told = " ".join(str(error).split())[:120]
            short = "out of memory" if is_out_of_memory(error) else type(error).__name__
            found = {"...": f"failed, {short}: {told}"}
        self.machine.forget()
        return found | {"seconds": round(time.perf_counter() - started, 1)}

    def plan(self) -> Iterator[Row]:
        names = list(self.machine.shapes)
        mixed, small, middle = {"precision": "bf16-mixed"}, names[0], names[1]
        lora = {"lora": True, "base": "bf16", **mixed}
        yield self.training(middle, "bf16-mixed", **mixed)
        yield self.training(small, "bf16-mixed", **mixed)
        yield self.waiting(middle, "bf16-mixed", **mixed)
        yield from self.checks(small)
        for name in names[2:]:
            yield self.training(name, "bf16-mixed, recomputed", recomputed=True, **mixed)
            yield self.training(name, "LoRA, base in bf16", **lora)
        yield from self.reading(middle)
        yield from self.stacked()
        yield self.training(middle, "fp32")
        yield self.training(small, "fp32")
        yield self.training(middle, "bf16-mixed, recomputed", recomputed=True, **mixed)
        yield self.training(middle, "LoRA, base in bf16", **lora)
        yield self.training(middle, "bf16-mixed, compiled", compiled=True, **mixed)
        for name in names[2:]:
            yield self.training(name, "bf16-mixed", **mixed)
            yield self.training(name, "LoRA, recomputed", recomputed=True, **lora)
            yield self.training(name, "fp32, recomputed", recomputed=True)
        yield self.training(small, "LoRA, base in bf16", **lora)
        for name in names[2:]:
            yield self.training(name, "bf16-mixed, compiled", compiled=True, **mixed)

    def training(self, name: str, how: str, **options: Any) -> Row:
        """So many steps as take about two seconds, of batches that take one at most."""
        machine = self.machine
        choices = Choices(machine.shapes[name], **options)
        low = choices.precision == "bf16-mixed" or choices.base == "bf16"
        rate = LIKELY * machine.rates["bf16" if low and not machine.cpu else "fp32"]
        a_text = (choices.flops + 3 * attention(choices.shape, machine.length)) * machine.length
        sequences = max(4, min(32, int(rate / a_text)))
        a_step = sequences * a_text / rate
        steps = 3 if machine.cpu else max(3, min(30, int(A_ROW / a_step)))
        told = COMPILING if choices.compiled and not machine.cpu else 0.0

        def work() -> Found:
            found = timed(machine, choices, sequences, steps, warm=2)
            flops = choices.flops + 3 * attention(choices.shape, machine.length)
            return {
                **self.rates(found.tokens, flops),
                "GB": gigabytes(found.peak),
                "told": gigabytes(found.told),
                "...": f"micro {found.micro_tokens}" if found.micro_tokens else "",
                "batch": sequences,
                "steps": steps,
            }

        return Row("training", name, how, work, OVERHEAD + told + (steps + 3) * a_step)

    def rates(self, tokens: float, flops: float) -> Found:
        """Tokens a second, and what they are of what the device can do."""
        done, peak = tokens * flops, self.machine.peak
        return {
            "tokens/s": round(tokens),
            "TFLOP/s": round(done / 1e12, 3),
            "of bf16": round(done / self.machine.rates["bf16"], 3),
            "of fp32": round(done / self.machine.rates["fp32"], 3),
            "of peak": round(done / peak, 3) if peak else None,
        }

    def waiting(self, name: str, how: str, **options: Any) -> Row:
        def work() -> Found:
            found = waits(self.machine, Choices(self.machine.shapes[name], **options), 4)
            return {"...": f"waits {found.total()}", "waits": dict(found)}

        return Row("waits in a step", name, how, work, OVERHEAD)

    def checks(self, name: str) -> Iterator[Row]:
        machine, choices = self.machine, Choices(self.machine.shapes[name], precision="bf16-mixed")

        def resume() -> Found:
            torch.use_deterministic_algorithms(True, warn_only=True)
            try:
                resumed, again = resumes(machine, choices)
            finally:
                torch.use_deterministic_algorithms(False)
            told = "the same bits" if resumed else "OTHER BITS"
            return {"...": told + ("" if again else ", but two trainings differ anyway")}

        def compare() -> Found:
            far = from_cpu(machine, choices)
            return {"...": f"{far:.1e} from a CPU, {'as it should' if far < CLOSE else 'TOO FAR'}"}

        yield Row("resumed", name, "bf16-mixed", resume, 4 * OVERHEAD)
        yield Row("equal to a CPU", name, "fp32, five steps", compare, 5 * OVERHEAD)

    def stacked(self) -> Iterator[Row]:
        """Rungs of the lab's ladder, ten of each, trained side by side."""
        models, steps = (2, 2) if self.machine.cpu else (10, 40)
        machine = Machine(self.machine.cpu, 32)  # about the tokens of the lab's texts
        for name, (width, depth, heads) in {"nano": (12, 1, 2), "base": (128, 2, 8)}.items():
            shape = Shape(width=width, depth=depth, heads=heads, vocabulary=835)

            def work(choices: Choices = Choices(shape)) -> Found:  # noqa: B008
                side_by_side(machine, choices, models, 2)
                alone = side_by_side(machine, choices, 1, steps)
                together = side_by_side(machine, choices, models, steps)
                a_step = 1000 * alone / steps
                ratio = models * alone / together
                return {"...": f"{ratio:.2f} times {models} alone, {a_step:.1f} ms a step"}

            yield Row("side by side", name, "fp32", work, OVERHEAD)

    def reading(self, name: str) -> Iterator[Row]:
        machine, shape = self.machine, self.machine.shapes[name]
        count = 32 if machine.cpu else 512
        flops = 2 * matrices(shape) + attention(shape, machine.length)
        mixed, low = Choices(shape, "bf16-mixed"), Choices(shape, base="bf16")

        def row(what: str, how: str, measure: Callable[..., float], choices: Choices) -> Row:
            def work() -> Found:
                return self.rates(measure(machine, choices, count), flops)

            return Row(what, name, how, work, OVERHEAD)

        def prompt() -> Found:
            shared, whole = prompting(machine, low, count)
            return {"...": f"{shared:.0f} texts/s, {shared / whole:.2f} times those read whole"}

        yield row("prediction", "bf16-mixed", predicting, mixed)
        yield row("prediction", "base in bf16", predicting, low)
        yield row("features", "fp32", featuring, Choices(shape))
        yield row("features", "base in bf16", featuring, low)
        yield row("generation", "fp32, 8 tokens", generating, Choices(shape))
        yield row("generation", "base in bf16, 8 tokens", generating, low)
        yield Row("prompting", name, "base in bf16", prompt, OVERHEAD)


def gigabytes(count: int | None) -> float | None:
    return None if count is None else round(count / 1e9, 2)


def line(found: Found) -> str:
    """A row of the table."""
    told = []
    for column in COLUMNS:
        value = found.get(column)
        told.append("" if value is None else f"{value:,}" if isinstance(value, int) else str(value))
    cells = [
        cell.ljust(width) if n < 3 else cell.rjust(width)
        for n, (cell, width) in enumerate(zip(told, WIDTHS, strict=False))
    ]
    return " ".join([*cells, " " + told[-1]]).rstrip()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=240, help="that it may take")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--cpu", action="store_true", help="tiny models on a CPU")
    asked = parser.parse_args()
    if not asked.cpu and not torch.cuda.is_available():
        parser.error(f"torch {torch.__version__} sees no GPU here: --cpu tries the script without")
    if asked.cpu:
        torch.set_num_threads(1)
        keep_freed_memory()
    machine = Machine(asked.cpu, 32 if asked.cpu else 512)
    facts = {
        "device": machine.name,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "matmul TFLOP/s": {name: round(rate / 1e12, 3) for name, rate in machine.rates.items()},
    }
    print(", ".join(f"{name} {told}" for name, told in facts.items()))
    rows = Bench(machine, asked.seconds).run()
    asked.out.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
