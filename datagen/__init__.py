"""Scenes as data: domains, sampling, graphics code, labels, metrics, shards, and the pool that drives Blender workers."""
