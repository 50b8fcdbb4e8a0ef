"""Pages, plots, sheets and numbers that describe data sets and assets."""
