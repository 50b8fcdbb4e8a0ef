"""Cameras, rotations, and rays that meet solids and the ground: numpy alone."""
