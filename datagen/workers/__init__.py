"""Processes that render, and the cores and GPUs they may use."""
