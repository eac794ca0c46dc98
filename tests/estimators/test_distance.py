"""The measure of the reference tests: what is exact but for rounding is right, and bias is seen."""

from __future__ import annotations

import numpy as np
import pytest

from tests.estimators.distance import distance


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rounding_is_no_bias_and_bias_is(dtype: str) -> None:
    draws, truth = 10_000, np.array([0.1, -70.3])
    rng = np.random.default_rng(0)
    # As an exact estimator has it: terms that cancel.
    other = (10.0 * rng.normal(size=(draws, 2))).astype(dtype)
    exact = (truth.astype(dtype) + other) - other
    noisy = (truth + rng.normal(size=(draws, 2))).astype(dtype)

    def of(samples: np.ndarray) -> float:
        gap = samples - truth.astype(dtype)
        return distance(gap.mean(0), gap.var(0), draws, truth)

    for samples in (exact, noisy, np.tile(truth.astype(dtype), (draws, 1))):
        assert of(samples) < 4
        assert of(samples * np.asarray(1 + 1e-3, dtype) + np.asarray(0.05, dtype)) > 4
