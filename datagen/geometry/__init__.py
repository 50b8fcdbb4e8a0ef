"""Cameras, rotations, and the intersection of rays with solids and the ground, in numpy alone."""
