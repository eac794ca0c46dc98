"""Parameters of half precision: samples of that dtype with the right law, and their log_probs."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from tests.adapter import HOSTS, Host, is_static
from tests.hosts.conformance.rows import COUNT, ROWS, over
from tests.relaxations.case import Case, Params, elements

HALVES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
DRAWS = 4_000
SLACK = 0.04
"""How far a distribution function may be off: 4.5 standard errors of its estimate."""

# Of sqrt(p), rounded, float64 says that it is another number; the other two are the hosts' own.
NOT_COMPARED = ("StochasticTimesSmooth", "OneHotCategorical", COUNT.name)


def rounded(params: Params, dtype: str) -> Params:
    """The parameters that remain in that precision."""
    to = HALVES[dtype]
    return {
        n: v if is_static(v) else np.asarray(v).astype(to).astype(float) for n, v in params.items()
    }


def wide(x: Any) -> np.ndarray:
    return x.detach().double().numpy() if isinstance(x, torch.Tensor) else np.asarray(x, float)


@pytest.mark.compiles_each
@pytest.mark.parametrize("dtype", HALVES)
@over(ROWS)
def test_half_precision(host: Host, case: Case, dtype: str):
    params = rounded(case.params, dtype)

    def run(given):
        dist = host.build(case.name, {**given, **case.static})
        # A program of NumPyro's is compiled for each precision: the second is spared what it can.
        scored = case.density and (host.name == "pyro" or dtype == "float16")
        return host.scored(dist, 0, (DRAWS,), scored)

    drawn, inside, log_prob = host.compiled(run)(host.arrays(case.arrays, dtype))
    assert host.numpy(inside).all()
    if case.name != "FiniteCount" and not case.whole:
        assert str(drawn.dtype).removeprefix("torch.") == dtype
    x = wide(drawn)
    assert np.isfinite(x).all()
    if log_prob is not None:
        log_prob = wide(log_prob)
        assert not np.isnan(log_prob).any()
        assert not (log_prob == np.inf).any()
        if case.name not in NOT_COMPARED:
            # What float64 says of the same value, on the host that compiles nothing for it.
            other = HOSTS["pyro"]
            exact = other.log_prob(other.make(case.name, params, validate=False), x)
            np.testing.assert_allclose(log_prob, exact, rtol=0.02, atol=0.06)
    eps = float(ml_dtypes.finfo(HALVES[dtype]).eps)
    rng = np.random.default_rng(1)
    for index, law in elements(case, params):
        ours = x[(slice(None), *index)].reshape(DRAWS, -1)
        theirs = law.sample(rng, 20_000).reshape(20_000, -1)
        for mine, right in zip(ours.T, theirs.T, strict=True):
            at = np.quantile(right, np.linspace(0.02, 0.98, 25))
            near = 4 * eps * np.abs(at) + eps / 4
            upper = (mine[:, None] <= at + near).mean(0) - (right[:, None] <= at).mean(0)
            lower = (mine[:, None] <= at - near).mean(0) - (right[:, None] <= at).mean(0)
            assert (upper > -SLACK).all()
            assert (lower < SLACK).all()
