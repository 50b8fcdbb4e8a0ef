"""Data sets: shards of samples, written, merged, verified, and read from folders, tars and addresses."""
