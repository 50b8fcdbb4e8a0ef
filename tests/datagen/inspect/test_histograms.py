"""Histograms and planes of numbers count as numpy does."""

from __future__ import annotations

import numpy as np
import pytest

from datagen.inspect.histograms import Histogram, Plane


def test_a_histogram_counts_as_numpy_does() -> None:
    values = np.random.default_rng(0).normal(2, 3, 5000)
    histogram = Histogram(-4, 8, 30)
    for value in values:
        histogram.add(value)
    assert histogram.counts == np.histogram(values, 30, (-4, 8))[0].tolist()
    assert (histogram.below, histogram.above) == ((values < -4).sum(), (values > 8).sum())
    assert (histogram.mean, histogram.std) == (pytest.approx(values.mean()), pytest.approx(values.std()))
    for share in (0.1, 0.5, 0.9):
        assert histogram.quantile(share) == pytest.approx(np.quantile(values, share), abs=0.4)
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="finite"):
            histogram.add(bad)


def test_a_logarithmic_histogram_has_its_own_place_for_zero() -> None:
    histogram = Histogram(1, 2**26, 156, log=True)
    for value in (0, 1, 2, 200, 2**26):
        histogram.add(value)
    assert (histogram.below, histogram.above, sum(histogram.counts)) == (1, 0, 4)
    filled = np.flatnonzero(histogram.counts)
    for place, value in zip(filled, (1, 2, 200, 2**26), strict=True):
        assert histogram.edges[place] <= value * (1 + 1e-9)
        assert value <= histogram.edges[place + 1] * (1 + 1e-9)
    assert histogram.quantile(0.0) == 0
    assert Histogram(0, 1, 4).quantile(0.5) is None


def test_a_plane_grows_and_loses_nothing() -> None:
    points = np.random.default_rng(1).uniform((-3, -2), (3, 5), (4000, 2))
    plane = Plane()
    for x, y in points:
        plane.add(x, y)
    assert plane.half == 8
    edges = np.linspace(-8, 8, 257)
    assert (plane.counts == np.histogram2d(points[:, 1], points[:, 0], [edges, edges])[0]).all()
    part, (left, right, bottom, top) = plane.occupied(24)
    assert part.sum() == 4000
    assert left <= points[:, 0].min() < points[:, 0].max() <= right
    assert bottom <= points[:, 1].min() < points[:, 1].max() <= top
    plane.add(1e9, 0)
    plane.add(0, float("nan"))
    assert (plane.outside, plane.half, plane.counts.sum()) == (2, 8, 4000)
