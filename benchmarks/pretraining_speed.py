"""What pretraining makes of the machine: tokens a second of each rung of the lab's ladder, in fp32
and in bf16, and in fp32 by a plain PyTorch loop.

    python benchmarks/pretraining_speed.py --rounds 3

The plain loop trains Transformers' own module on the same windows, with torch's cross-entropy,
clipping and AdamW, and does nothing else: no Lightning, no curves, no checkpoints. `ours/plain` is
the median of what both read in the same rounds.

On one of two cores of an AMD EPYC with AVX512 and bf16, nothing else running, torch 2.13.0,
--rounds 2:

    matmul: 32-true 102 GFLOP/s, bf16-mixed 221 GFLOP/s
                32-true tokens/s   share bf16-mixed tokens/s   share   bf16/fp32  ours/plain
    nano                  74,704     15%              74,456      7%        1.00        1.61
    micro                 64,253     22%              61,039     10%        0.95        1.46
    tiny                  53,017     25%              53,682     12%        1.01        1.43
    mini                  50,779     34%              50,952     16%        1.01        1.52
    small                 35,106     39%              40,385     21%        1.15        1.37
    medium                28,041     46%              35,534     27%        1.27        1.24
    base                  14,103     62%              20,492     42%        1.45        1.19
    256x3                  4,035     74%               6,621     56%        1.64        1.07

While bf16 was left to Transformers' module, such a core read .69, .85, .71, .75, 1.24 and 1.51
times as many tokens in bf16 as in fp32 (nano, mini, small, medium, base and 256x3; other programs
beside).

Before any model was written out (`learning/llama.py`), an Intel Xeon with bf16 instructions but no
AMX (matmuls at 162 and 84 GFLOP/s) read, in thousands a second, 65, 60, 46, 44, 35, 29, 16 and 4.9
in fp32, and 47, 41, 31, 28, 22, 19, 9.9 and 3.0 in bf16; an AMD EPYC with AVX2 only (76 GFLOP/s)
23, 22, 18, 16, 15, 13, 8 and 2.7 in fp32. Where a CPU has to emulate bf16
(ONEDNN_MAX_CPU_ISA=AVX2), it is eleven times slower than fp32, so it is not used there.

Each rung trains on made-up text of the lab's vocabulary and context, one thread, as `Adapt` does;
rounds go through all rungs and both precisions in turn, so that a busy machine slows all of them,
and medians over the rounds are shown. The share is that of the machine's matmul rate, measured in
the same rounds at the best of a few sizes: the matmuls that a token asks for (6 FLOPs a weight and
token, the tied unembedding counted, and attention over the whole context), times tokens a second,
over that rate.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from functools import partial

import numpy as np
import torch
from training_speed import network, settle, speed

from w2sweep.experiment.backbone import SmallLlama
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.recipe import Precision
from w2sweep.learning.batches import pretraining_batches

VOCABULARY, CONTEXT = 2600, 48
RUNGS = {
    "nano": SmallLlama(12, 1, 2),
    "micro": SmallLlama(20, 1, 2),
    "tiny": SmallLlama(24, 2, 2),
    "mini": SmallLlama(32, 2, 2),
    "small": SmallLlama(48, 2, 4),
    "medium": SmallLlama(64, 2, 4),
    "base": SmallLlama(128, 2, 8),
    "256x3": SmallLlama(256, 3, 8),
}
BATCH = 8
"""Sequences a step."""
PRECISIONS: dict[Precision, torch.dtype] = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16}
MATMUL_SIZES = (128, 256, 512, 1024)


def pretraining(rung: SmallLlama, precision: Precision, tokens: int) -> float:
    """Tokens a second."""
    steps = max(4, tokens // (BATCH * CONTEXT))
    stream = np.random.default_rng(0).integers(3, VOCABULARY, 100_000)
    net = network((rung.width, rung.depth, rung.heads), None, VOCABULARY, CONTEXT)
    batches = partial(pretraining_batches, stream, CONTEXT, BATCH, 0, steps)
    return speed(net, batches, steps, CrossEntropy(), precision)


def plain(rung: SmallLlama, tokens: int) -> float:
    """Tokens a second of a plain loop."""
    steps = max(4, tokens // (BATCH * CONTEXT))
    stream = np.random.default_rng(0).integers(3, VOCABULARY, 100_000)
    lm = network((rung.width, rung.depth, rung.heads), None, VOCABULARY, CONTEXT).lm
    optimizer = torch.optim.AdamW(lm.parameters(), lr=1e-3, betas=(0.9, 0.98), fused=True)
    started = time.perf_counter()
    for (batch,) in pretraining_batches(stream, CONTEXT, BATCH, 0, steps, 0):
        logits = lm(input_ids=batch.ids, use_cache=False).logits.flatten(0, 1)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits, batch.targets).backward()
        torch.nn.utils.clip_grad_norm_(lm.parameters(), 1.0)
        optimizer.step()
    return steps * BATCH * CONTEXT / (time.perf_counter() - started)


def matmul_flops(rung: SmallLlama) -> float:
    """Of training, a token: forward and backward."""
    weights = rung.parameters + VOCABULARY * rung.width
    return 6 * weights + 12 * rung.depth * rung.width * CONTEXT


def matmul_rate(n: int, dtype: torch.dtype, seconds: float = 0.05) -> float:
    """FLOPs a second of multiplying two n x n matrices."""
    a, b = torch.randn(2, n, n).to(dtype)
    started, times = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        torch.mm(a, b)
        times += 1
    return 2 * n**3 * times / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--precisions", nargs="+", choices=list(PRECISIONS), default=list(PRECISIONS)
    )
    parser.add_argument("--tokens", type=int, default=12_000, help="a measurement")
    asked = parser.parse_args()
    settle(keep=True)
    rates, matmul, loops = defaultdict(list), defaultdict(list), defaultdict(list)
    for _ in range(asked.rounds + 1):
        for precision in asked.precisions:
            dtype = PRECISIONS[precision]
            for n in MATMUL_SIZES:
                matmul[precision, n].append(matmul_rate(n, dtype))
        for name, rung in RUNGS.items():
            for precision in asked.precisions:
                rates[name, precision].append(pretraining(rung, precision, asked.tokens))
            loops[name].append(plain(rung, asked.tokens))
    peak = {}
    for p in asked.precisions:
        peak[p] = max(statistics.median(matmul[p, n][1:]) for n in MATMUL_SIZES)
    peaks = [f"{p} {rate / 1e9:.0f} GFLOP/s" for p, rate in peak.items()]
    columns = [f"{p + ' tokens/s':>20}{'share':>8}" for p in asked.precisions]
    print(f"matmul: {', '.join(peaks)}")
    print(f"{'':8}{''.join(columns)}{'bf16/fp32':>12}{'ours/plain':>12}")
    for name, rung in RUNGS.items():
        line = f"{name:8}"
        seen = {p: rates[name, p][1:] for p in asked.precisions}  # the first round warms up
        for p in asked.precisions:
            rate = statistics.median(seen[p])
            line += f"{rate:>20,.0f}{rate * matmul_flops(rung) / peak[p]:>8.0%}"
        first, last = seen[asked.precisions[0]], seen[asked.precisions[-1]]
        ratio = statistics.median(b / a for a, b in zip(first, last, strict=True))
        to_plain = statistics.median(a / b for a, b in zip(first, loops[name][1:], strict=True))
        print(line + f"{ratio:>12.2f}{to_plain:>12.2f}")


if __name__ == "__main__":
    main()
