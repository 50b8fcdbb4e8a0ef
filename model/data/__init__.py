"""Training data: samples as batches, in a reproducible order, with cached features of a frozen tower."""
