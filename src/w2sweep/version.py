"""The version of the program: results of another one are computed again where that matters."""

__version__ = "0.2.0.dev0"
