"""What all figures look like."""

from __future__ import annotations

from typing import Any

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's, which people with any colour vision can tell apart."""
MARKERS = "osD^vPX"
INK, FAINT = "#333333", "#8c8c8c"
HOLLOW: dict[str, Any] = {"marker": "o", "mfc": "white", "ms": 6}
"""What supervisors themselves are drawn as."""
LEVEL: dict[str, Any] = {"marker": "_", "ms": 8}
"""What ceilings are drawn as."""
CHANCE: dict[str, Any] = {"color": FAINT, "ls": ":", "lw": 1.0}
"""What the accuracy of guessing is drawn as."""
STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": FAINT,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "errorbar.capsize": 2,
    "font.size": 9,
    "grid.color": "#e8e8e8",
    "grid.linewidth": 0.7,
    "hatch.color": "#bbbbbb",
    "hatch.linewidth": 0.6,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": INK,
    "xtick.labelsize": 8,
    "ytick.color": INK,
    "ytick.labelsize": 8,
}
