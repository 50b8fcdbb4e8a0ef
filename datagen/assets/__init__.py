"""Assets: triangle meshes as plain data, the classes modelled here, people's own files, and the solid that rays for labels are cast at.

An *asset* is one model with an id: an instance of a class, such as ``aeroplane-3``, or a user's own file. All follow one convention:
the origin is the middle of the bounding box, the farthest vertex is 1 away from it, +X is the front, +Z is up. See docs/assets.md.
"""
