"""Files written whole, read within limits and checked against declarations; caches, locks, signals, child processes, pages, progress."""
