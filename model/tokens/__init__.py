"""Code as tokens and numbers, and back."""
