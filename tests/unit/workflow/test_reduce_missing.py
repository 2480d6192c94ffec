"""Sums of blocks in which values are missing, against a loop over each value."""

import math
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray

from pangeo_hpc.workflow.reduce import kernels, missing

SETTINGS = hypothesis.settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)


@st.composite
def blocks(draw: st.DrawFn) -> NDArray[Any]:
    """Blocks with a mask, with gaps at some steps, with both, or with infinite values."""
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=3)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.normal(0, 3, shape).astype(draw(st.sampled_from(("f2", "f4", "f8"))))
    values[rng.random(shape) < draw(st.sampled_from((0, 0.3)))] = np.nan
    mask = rng.random(shape[1:]) < draw(st.sampled_from((0, 0.5, 1.1)))
    values[:, mask] = np.nan
    endless = rng.random(shape) < draw(st.sampled_from((0, 0, 0.2)))
    values[endless] = np.where(rng.random(shape) < 0.5, np.inf, -np.inf)[endless]
    return values


@pytest.fixture(params=[1, 7, 1 << 18])
def together(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many values are looked at together: one, some that end within a step, or all."""
    monkeypatch.setattr(missing, "TOGETHER", request.param)
    number: int = request.param
    return number


@pytest.mark.usefixtures("together")
@SETTINGS
@hypothesis.given(values=blocks(), seed=st.integers(0, 2**16))
def test_sums_and_counts_are_of_what_is_valid(values: NDArray[Any], seed: int) -> None:
    """For each group and cell; infinite values are values."""
    codes = np.random.default_rng(seed).integers(-1, 3, len(values))
    found = kernels.group_sums(values, codes, 0, skipna=True)
    weights = np.broadcast_to(kernels._per_sum(found), found.sums.shape)
    assert list(found.groups) == sorted(set(codes.tolist()) - {-1})
    for index, group in enumerate(found.groups):
        for cell in np.ndindex(values.shape[1:]):
            column = [float(v) for v in values[(codes == group, *cell)] if not math.isnan(v)]
            assert weights[(index, *cell)] == len(column)
            wanted = sum(column)
            np.testing.assert_allclose(found.sums[(index, *cell)], wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("together")
@SETTINGS
@hypothesis.given(values=blocks(), seed=st.integers(0, 2**16))
def test_weights_are_of_what_is_valid(values: NDArray[Any], seed: int) -> None:
    """For each step: the weight of the cells that have a value."""
    weight = np.random.default_rng(seed).random(values.shape[1:])
    axes = tuple(range(1, values.ndim))
    if not axes:
        return
    found = kernels.weighted_sums(values, weight, axes, skipna=True)
    weights = np.broadcast_to(found.weights, found.sums.shape)[0]
    for step, row in enumerate(values.reshape(len(values), -1)):
        valid = [
            (float(v), float(w))
            for v, w in zip(row, weight.reshape(-1), strict=True)
            if not math.isnan(v)
        ]
        np.testing.assert_allclose(weights[step], sum(w for _, w in valid), rtol=1e-9)
        wanted = sum(v * w for v, w in valid)
        np.testing.assert_allclose(found.sums[0, step], wanted, rtol=1e-6, atol=1e-6)
