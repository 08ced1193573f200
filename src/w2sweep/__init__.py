"""w2sweep: sweeps for weak-to-strong generalization (Burns et al. 2023, arXiv 2312.09390)."""

__version__ = "0.1.0"
