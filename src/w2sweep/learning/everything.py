"""All that stages are run by, for processes that are to have imported it before they are forked."""

from __future__ import annotations

from w2sweep.engine.processes import making_what_stays

with making_what_stays():
    import w2sweep.learning.applying
    import w2sweep.learning.finetuning
    import w2sweep.learning.inference
    import w2sweep.learning.loading
    import w2sweep.learning.pretraining
    import w2sweep.learning.prompting
    import w2sweep.learning.subjects
    import w2sweep.learning.tuned  # noqa: F401
