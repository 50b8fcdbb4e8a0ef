"""Evaluations of the paper, each by one command: many small cells (method, data size, seed), a table, plots, a page of pictures."""
