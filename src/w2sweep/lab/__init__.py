"""The embedded lab: synthetic worlds whose text is the pretraining corpus, and tasks about them."""
