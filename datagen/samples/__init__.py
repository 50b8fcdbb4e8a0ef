"""One sample: its settings, its draw, its labels, and the record that keeps it."""
