"""How many tokens at a time the loss over a vocabulary takes: milliseconds of the processor for one
loss and its gradients, by the number of tokens whose logits are there at once.

    python benchmarks/token_loss.py

On one of two cores of an AMD EPYC with AVX-512 and bf16, the other one busy, --rounds 3:

      words  width    in        4       16       48       96      192      384   before/now
      2,767     12  fp32      8.5      3.3      2.7      2.6      2.8      2.7         1.21
      2,767     12  bf16     15.3      5.0      2.7      2.1      1.9      2.0         1.68
      2,767     48  fp32     13.7      5.7      4.6      4.4      4.5      4.6         1.31
      2,767     48  bf16     19.8      6.6      3.9      3.3      3.1      3.0         1.47
      2,767    128  fp32     26.8     12.5     10.7     10.2     10.5      9.9         1.32
      2,767    128  bf16     31.2     10.6      6.8      6.1      5.7      5.5         1.30
      8,192     12  fp32     37.5     15.2     13.6     13.6     14.3     15.8         1.12
      8,192     12  bf16     42.3     15.2     10.2      9.0      8.7     10.2         1.75
      8,192     48  fp32     65.9     28.7     24.5     23.6     24.3     27.9         1.21
      8,192     48  bf16     71.3     26.0     17.2     16.2     15.3     17.0         1.69
      8,192    128  fp32    143.4     74.3     56.5     55.5     56.4     60.2         1.34
      8,192    128  bf16    144.7     54.5     37.6     33.0     31.2     31.8         1.75
     32,768     12  fp32    124.9     53.5     55.4     64.1     80.6     88.2         1.95
     32,768     12  bf16    111.8     46.4     37.3     42.4     49.3     53.1         2.27
     32,768     48  fp32    249.9    115.1    117.6    122.2    128.2    124.7         2.04
     32,768     48  bf16    297.0    108.1     70.0     76.0     74.9     78.7         3.96
     32,768    128  fp32    989.7    453.8    266.2    249.3    243.9    240.0         3.97
     32,768    128  bf16    891.6    272.8    162.3    148.1    138.4    140.6         6.44

`before` is as many tokens as make 2^17 logits, as it was in fp32 in version 2 of pretraining: 47,
16 and 4 of these vocabularies. In bf16 nothing was computed so; the column tells what it would
cost.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from training_speed import settle

from w2sweep.learning import cross_entropy
from w2sweep.learning.cross_entropy import cross_entropy_of_tokens

VOCABULARIES = {2_767: 384, 8_192: 768, 32_768: 768}
"""Words -> tokens of a batch."""
WIDTHS = (12, 48, 128)
AT_ONCE = (4, 16, 48, 96, 192, 384)
CHOSEN = dict(cross_entropy.AT_ONCE)
CACHE = 2**17
"""Numbers at a time before this version, whatever the vocabulary."""


def milliseconds(words: int, tokens: int, width: int, low: bool) -> float:
    """Of one loss, forward and backward."""
    hidden, table = 0.3 * torch.randn(tokens, width), 0.3 * torch.randn(words, width)
    hidden.requires_grad_()
    table.requires_grad_()
    answers = torch.randint(words, (tokens,))
    started = time.process_time()
    with torch.autocast("cpu", torch.bfloat16, enabled=low):
        cross_entropy_of_tokens(hidden, table, answers).backward()
    return 1000 * (time.process_time() - started)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    settle(keep=True)
    print(f"{'words':>7}{'width':>7}{'in':>6}", *(f"{n:>8}" for n in AT_ONCE), "  before/now")
    for words, tokens in VOCABULARIES.items():
        for width in WIDTHS:
            for dtype, chosen in CHOSEN.items():
                low = dtype is torch.bfloat16
                before = max(1, CACHE // words)
                seen: dict[int, list[float]] = {n: [] for n in (*AT_ONCE, before)}
                for _ in range(rounds + 1):  # the first one warms up
                    for n, found in seen.items():
                        cross_entropy.AT_ONCE[dtype] = n
                        found.append(milliseconds(words, tokens, width, low))
                medians = {n: statistics.median(found[1:]) for n, found in seen.items()}
                told = (f"{medians[n]:>8.1f}" for n in AT_ONCE)
                ratio = medians[before] / medians[chosen]
                name = "bf16" if low else "fp32"
                print(f"{words:>7,}{width:>7}{name:>6}", *told, f"{ratio:>12.2f}", flush=True)


if __name__ == "__main__":
    main()
