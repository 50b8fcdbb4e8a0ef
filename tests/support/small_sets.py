"""The settings of the small data set that most tests use; the fixture `renders` in conftest.py renders it."""

from render.conformance import small_set

SMALL = small_set("clevr")
