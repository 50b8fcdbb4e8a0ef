"""Image to code."""
