"""Dialects: each representation of rotations means the same as the domain's own code, and any numbers in it mean a valid rotation."""

from __future__ import annotations

import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.code.grammar import parse_code, write_object
from datagen.domains.dialects import REPRESENTATIONS, Rotations, dialect
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.scene import Object, Scene

SO3, POSE6D = get_domain("so3"), get_domain("pose6d")
ROTATIONS = get_args(Rotations)
PRECISION = {"own": 0.0, "euler": 0.0, "euler_int": 1.5, "axis_angle": 0.03, "6d": 0.03}
"""By dialect, the degrees by which writing and reading an object may turn it."""

EVERY_WAY = pytest.mark.parametrize("rotations", ROTATIONS)
CANONICAL = st.builds(
    lambda loc, rotation: POSE6D.canonical_object(Object("add", {"loc": loc, "rotation": rotation})),
    st.tuples(*(st.floats(-1, 1) for _ in range(3))),
    st.tuples(st.floats(-180, 180), st.floats(-90, 90), st.floats(-180, 180))
    | st.tuples(st.sampled_from([-180.0, -90.0, 0.0, 179.7, 180.0]), st.sampled_from([-90.0, 89.7, 90.0]), st.floats(-180, 180)),
)


def test_they_are_all_there() -> None:
    assert ("own", *REPRESENTATIONS) == ROTATIONS


@EVERY_WAY
@given(obj=CANONICAL)
def test_what_is_said_is_what_is_meant(rotations: str, obj: Object) -> None:
    way = dialect(POSE6D, rotations)
    [written] = way.written(Scene("pose6d", (obj,))).objects
    assert parse_code(write_object(written, way), way).objects == (written,)  # to the precision that the dialect declares
    [number] = [n for n in way.statement("add").numbers if n.name == "rotation"]
    assert all(low <= x <= high for x, low, high in zip(written["rotation"], number.low, number.high, strict=True))
    [back] = way.meant(Scene("pose6d", (written,))).objects
    assert back["loc"] == obj["loc"]
    error = POSE6D.rotation_error(obj, back)
    assert error is not None
    assert error <= PRECISION[rotations] + 1e-6


@EVERY_WAY
@given(data=st.data())
def test_whatever_is_written_is_an_orientation(rotations: str, data: st.DataObject) -> None:
    """Numbers out of range, zero columns and parallel columns mean a valid and canonical scene, too."""
    way = dialect(SO3, rotations)
    [number] = way.statement("add").numbers
    some = st.sampled_from([0.0, 1.0, -1.0, 0.5, 1e6]) | st.floats(-1e6, 1e6)
    written = Object("add", {"rotation": number.rounded(tuple(data.draw(some) for _ in range(number.components)))})
    [meant] = way.meant(Scene("so3", (written,))).objects
    assert all(math.isfinite(x) for x in meant["rotation"])
    assert SO3.violations(Scene("so3", (meant,))) == []
    assert SO3.canonical_object(meant) == meant


@pytest.mark.parametrize("component", range(6))
@pytest.mark.parametrize("size", [1e-9, 1e-160, 5e-324])
def test_columns_too_short_to_have_a_direction_mean_an_orientation(size: float, component: int) -> None:
    columns = tuple(size if i == component else 0.0 for i in range(6))
    assert all(math.isfinite(x) for x in REPRESENTATIONS["6d"].meant(columns))


@pytest.mark.parametrize(
    "columns", [(0.0,) * 6, (1.0, 0.0, 0.0, 0.0, 0.0, 0.0), (0.5, 0.5, 0.0, -1.0, -1.0, 0.0), (0.0, 0.0, 0.0, 0.0, 1.0, 0.0)]
)
def test_a_column_that_can_be_kept_is_kept(columns: tuple[float, ...]) -> None:
    way = dialect(SO3, "6d")
    [again] = (obj["rotation"] for obj in way.written(way.meant(Scene("so3", (Object("add", {"rotation": columns}),)))).objects)
    length = math.hypot(*columns[:3])
    assert length == 0 or again[:3] == pytest.approx([x / length for x in columns[:3]], abs=3e-4)


def test_a_domain_without_free_rotations_has_one_way_to_write() -> None:
    for name in ("clevr", "dot2d"):
        assert dialect(get_domain(name)).statements == get_domain(name).statements
        with pytest.raises(UserError, match="no free rotations"):
            dialect(get_domain(name), "6d")
    with pytest.raises(UserError, match="none of own, euler"):
        dialect(SO3, "quaternion")
