"""Evaluations of the paper, each by one command: many runs (a method, a number of images, a seed), a table, plots, a page of pictures."""
