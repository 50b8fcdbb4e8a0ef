"""The stages of training, the training loop, its checkpoints, and resuming from them."""
