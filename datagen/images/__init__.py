"""Image files: their limits, their sizes, and their pixels as colours."""
