"""What is trained on: samples as batches, in a known order, with features that are kept."""
