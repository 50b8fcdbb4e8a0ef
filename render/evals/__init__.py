"""The paper's evaluations, one command each: many runs (a method, a number of images, a seed), a table, plots and a page of pictures."""
