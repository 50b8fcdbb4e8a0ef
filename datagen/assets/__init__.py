"""Assets: triangle meshes as plain data, the classes modelled here, people's own files, and the solid that labels are cast against.

An *asset* is one model with an id: an instance of a class, ``aeroplane-3`` say, or a file of somebody's own. All obey one convention:
the origin is the middle of the bounding box, the farthest vertex is 1 away from it, +X is the front, +Z is up. See docs/assets.md.
"""
