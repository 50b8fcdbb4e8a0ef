"""Kinds of scene: what each declares, how its scenes are drawn, its splits, and the dialects of its code."""
