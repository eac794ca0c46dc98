"""Parameters of half precision: samples of that dtype with the right law, and finite log_probs."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from tests.adapter import Host, is_static
from tests.hosts.conformance.rows import ROWS, over
from tests.relaxations.case import Case, Params, elements

HALVES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
DRAWS = 4_000
SLACK = 0.04
"""How far a distribution function may be off: 4.5 standard errors of its estimate."""


def rounded(params: Params, dtype: str) -> Params:
    """The parameters that remain in that precision."""
    to = HALVES[dtype]
    return {
        n: v if is_static(v) else np.asarray(v).astype(to).astype(float) for n, v in params.items()
    }


def wide(x: Any) -> np.ndarray:
    return x.detach().double().numpy() if isinstance(x, torch.Tensor) else np.asarray(x, float)


@pytest.mark.parametrize("dtype", HALVES)
@over(ROWS)
def test_half_precision(host: Host, case: Case, dtype: str):
    params = rounded(case.params, dtype)

    def run(given):
        dist = host.build(case.name, {**given, **case.static})
        x = host.draw(dist, 0, (DRAWS,))
        # A program of NumPyro's is compiled for each precision: the second is spared what it can.
        scored = case.density and (host.name == "pyro" or dtype == "float16")
        return x, dist.log_prob(x) if scored else x

    drawn, scored = host.compiled(run)(host.arrays(case.arrays, dtype))
    if case.name != "FiniteCount" and not case.whole:
        assert str(drawn.dtype).removeprefix("torch.") == dtype
    x, log_prob = wide(drawn), wide(scored)
    assert np.isfinite(x).all()
    assert not np.isnan(log_prob).any()
    assert not (log_prob == np.inf).any()
    eps = float(ml_dtypes.finfo(HALVES[dtype]).eps)
    rng = np.random.default_rng(1)
    worst = 0
    for index, law in elements(case, params):
        ours = x[(slice(None), *index)].reshape(DRAWS, -1)
        theirs = law.sample(rng, 20_000).reshape(20_000, -1)
        for mine, right in zip(ours.T, theirs.T, strict=True):
            at = np.quantile(right, np.linspace(0.02, 0.98, 25))
            near = 4 * eps * np.abs(at) + eps / 4
            upper = (mine[:, None] <= at + near).mean(0) - (right[:, None] <= at).mean(0)
            lower = (mine[:, None] <= at - near).mean(0) - (right[:, None] <= at).mean(0)
            worst = max(worst, lower.max(), -upper.min())
            assert (upper > -SLACK).all()
            assert (lower < SLACK).all()
    print("WORST", host.name, case, dtype, worst)
