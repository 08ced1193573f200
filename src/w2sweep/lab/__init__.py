"""The embedded lab: a synthetic world whose text is the pretraining corpus, and the tasks that ask what was learned."""
