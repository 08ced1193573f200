from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

LADDER = {"nano": 1.7e3, "micro": 7e3, "mini": 2.6e4, "small": 1.0e5}


def fake_sweep(
    path: Path,
    *,
    tasks: Mapping[str, str] = {"sentiment": "nlp", "preference": "reward", "mate": "chess"},
    ladder: Mapping[str, float] = LADDER,
    methods: Iterable[str] = ("naive", "confidence"),
    variants: Iterable[str] = ("",),
    seeds: int = 2,
    n_test: int = 400,
    gap: float = 0.3,
) -> Path:
    """A sweep as the command line leaves it, from a made-up law: students recover less of a larger gap."""
    rungs = {name: {"size": int(size), "compute": 6 * size * 40 * size**0.8} for name, size in ladder.items()}
    cells = []
    for task, weak, strong, method, variant, seed in product(tasks, ladder, ladder, methods, variants, range(seeds)):
        if method == "confidence" and tasks[task] == "chess":
            continue
        place = {"task": task, "ladder": "lab", "weak": weak, "strong": strong, "method": method, "seed": seed}
        place |= {"variant": variant, "family": tasks[task]}
        folder = path / ",".join(f"{k}={v}" for k, v in place.items() if k != "family")
        folder.mkdir(parents=True)
        cells.append({"dir": folder.name, "overrides": []})
        i, j = list(ladder).index(weak), list(ladder).index(strong)
        if i >= j:
            write(folder / "cell.json", place | {"skipped": f"weak {weak} >= strong {strong}"})
            continue
        correct = answers(i, j, method, gap, n_test, steps=len(ladder) - 1, seed=list(tasks).index(task) + 100 * seed)
        save_file(correct, folder / "correct.safetensors")
        write(folder / "cell.json", place | finished(correct, weak, strong, rungs, chess=tasks[task] == "chess"))
    plan = {"name": path.name, "command": "w2sweep -cn quickstart seed=0,1", "started": 0.0, "cells": cells}
    write(path / "sweep.json", plan | {"stages": {f"Finetune/{i:04x}": "student" for i in range(42)}})
    return path


def answers(i: int, j: int, method: str, gap: float, n: int, *, steps: int, seed: int) -> dict[str, np.ndarray]:
    """Right answers by a threshold on each example's difficulty, so that models agree about as real ones do."""
    rng = np.random.default_rng(seed)
    difficulty, noise = rng.random(n), rng.normal(0, 0.04, 2 * steps + 2)
    weak = 0.62 + gap * i / steps + noise[i]
    ceiling = 0.62 + gap * j / steps + abs(noise[j]) / 2
    recovered = {"naive": 0.5, "confidence": 0.75}.get(method, 0.3) - 0.12 * (j - i) + noise[-1]
    student = weak + recovered * (ceiling - weak)
    own = [difficulty + rng.normal(0, 0.1, n) for _ in range(3)]
    return {
        role: (d < accuracy).astype(np.uint8)
        for role, accuracy, d in zip(("weak", "student", "ceiling"), (weak, student, ceiling), own, strict=True)
    }


def finished(
    correct: Mapping[str, np.ndarray], weak: str, strong: str, rungs: Mapping, *, chess: bool
) -> dict[str, Any]:
    accuracies = {f"{role}_accuracy": float(c.mean()) for role, c in correct.items()}
    w, s, c = accuracies.values()
    agrees = correct["weak"] == correct["student"]
    right = correct["weak"].astype(bool)
    return accuracies | {
        "weak_size": rungs[weak]["size"],
        "strong_size": rungs[strong]["size"],
        "weak_compute": rungs[weak]["compute"],
        "strong_compute": rungs[strong]["compute"],
        "rungs": rungs,
        "pgr": (s - w) / (c - w) if c > w else None,
        "pgr_undefined": None if c > w else f"ceiling {c:.3f} <= weak {w:.3f}",
        "agreement": float(agrees.mean()),
        "agreement_weak_right": float(agrees[right].mean()),
        "agreement_weak_wrong": float(agrees[~right].mean()),
        "n_test": len(agrees),
        "marks": {"legality": 0.97} if chess else {},
        "stages": {"supervisor": "Finetune/a", "student": "Finetune/b", "ceiling": "Finetune/c"},
        "store": "outputs/store",
    }


def write(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content), encoding="utf-8")
