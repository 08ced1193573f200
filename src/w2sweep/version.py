"""The version of the program: results of another one are computed again where that matters."""

__version__ = "0.2.0.dev0"

BUILT_ON = (
    "numpy",
    "torch",
    "transformers",
    "tokenizers",
    "pytorch-lightning",
    "peft",
    "datasets",
)
"""The packages that results are computed with: their versions are written down beside them."""
