"""Scenes in Blender: stage, shapes, materials, Cycles settings, and the worker process that turns a scene into pixels.

The only code that imports bpy. Importing the package itself does not: Blender lives in `blender_scenes.worker` processes.
"""
