"""Which features a regression on real, collinear data has, against the sum over all their sets."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.bench_inclusion import exact, fitted


@pytest.mark.long
def test_inclusion_probabilities_on_the_diabetes_data() -> None:
    np.testing.assert_allclose(fitted(), exact(), atol=0.05)
