"""Data sets as shards of samples: writing, merging and verifying them, and reading them from folders, tars and URLs."""
