"""The small data set that most tests stand on, as it is asked for: `conftest.renders` draws it."""

from render.conformance import small_set

SMALL = small_set("clevr")
