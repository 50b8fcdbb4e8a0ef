"""The training loop, its checkpoints, and how a run goes on."""
