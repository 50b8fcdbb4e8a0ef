"""Data sets and assets to look at: pages, plots, sheets, numbers."""
