"""One sample: the settings of its data set, the draw of its scene, its labels, and its record."""
