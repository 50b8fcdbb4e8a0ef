"""Files and what surrounds them: written whole, read with bounds, declared, kept, locked, and left in order."""
