"""What holds at any parameters: hypothesis draws them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.adapter import HOSTS, is_static
from tests.relaxations.case import Case, Params
from tests.relaxations.cases import CASES, first_of_each

NUMPYRO, PYRO = HOSTS["numpyro"], HOSTS["pyro"]
OURS = [c for c in first_of_each(CASES) if c.name != "OneHotCategorical"]
RANGES = {
    "logits": (-8.0, 8.0),
    "loc": (-4.0, 4.0),
    "values": (-5.0, 5.0),
    "scale": (0.1, 4.0),
    "low": (-2.0, -0.02),
    "high": (1.02, 3.0),
}
POSITIVE = (0.1, 10.0)

quickly = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def of_case(data: Any, case: Case) -> Params:
    """Parameters of the shapes of a case's, so that nothing is compiled anew for them."""

    def one(name: str, value: Any) -> Any:
        if is_static(value):
            return value
        shape = np.shape(value)
        if name == "correlation_matrix":
            rho = data.draw(arrays(float, (*shape[:-2], 1, 1), elements=st.floats(-0.9, 0.9)), name)
            return rho + (1 - rho) * np.eye(shape[-1])
        low, high = RANGES.get(name, POSITIVE)
        return data.draw(arrays(float, shape, elements=st.floats(low, high)), name)

    return {name: one(name, value) for name, value in case.params.items()}


def noise_of(case: Case, data: Any) -> np.ndarray:
    dist = PYRO.make(case.name, case.params)
    return PYRO.noise(dist, data.draw(st.integers(0, 2**20), "seed"), (2,))


@pytest.mark.compiles_each
@pytest.mark.parametrize("case", OURS, ids=str)
@given(data=st.data())
@quickly
def test_hosts_agree_on_samples_in_the_support_of_finite_log_prob(case: Case, data: Any):
    params, noise = of_case(data, case), noise_of(case, data)
    pyro = PYRO.make(case.name, params)
    numpyro = NUMPYRO.make(case.name, params, validate=False)
    value = PYRO.from_noise(pyro, noise)
    np.testing.assert_allclose(NUMPYRO.from_noise(numpyro, noise), value, rtol=1e-9, atol=1e-10)
    assert PYRO.inside(pyro, PYRO.array(value)).all()
    if case.density:
        log_prob = PYRO.log_prob(pyro, value)
        assert np.isfinite(log_prob).all()
        np.testing.assert_allclose(NUMPYRO.log_prob(numpyro, value), log_prob, rtol=1e-9, atol=1e-9)


PATHWISE = [c for c in OURS if c.surrogate is None and c.reparameterized]


@pytest.mark.parametrize("case", PATHWISE, ids=str)
@given(data=st.data())
@quickly
def test_path_gradient_is_the_difference_along_any_direction(case: Case, data: Any):
    params, noise = of_case(data, case), noise_of(case, data)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**20), "directions"))
    moves = {n: rng.normal(size=np.shape(v)) for n, v in params.items() if not is_static(v)}
    if "correlation_matrix" in moves:
        off = moves["correlation_matrix"] * (1 - np.eye(2))
        moves["correlation_matrix"] = off + np.swapaxes(off, -1, -2)

    # Unequal weights: the plain sum of a value on the simplex does not move.
    weights = PYRO.array(np.arange(1, 1 + case.event_shape[0]) if case.event_shape else 1.0)

    def total(given: Params) -> Any:
        return (PYRO.build(case.name, given).from_noise(PYRO.array(noise)) * weights).sum()

    def at(step: float) -> float:
        return float(
            total(
                PYRO.arrays(
                    {n: v + step * moves[n] if n in moves else v for n, v in params.items()}
                )
            )
        )

    grads = PYRO.value_and_grad(total, params)[1]
    exact = sum(float((grads[n] * move).sum()) for n, move in moves.items())
    step = 1e-5
    numeric = (at(step) - at(-step)) / (2 * step)
    # At the corner of a gate the difference sees both of its sides.
    narrow = (at(step / 4) - at(-step / 4)) / (step / 2)
    if abs(narrow - numeric) < 1e-6 * max(1, abs(numeric)):
        assert exact == pytest.approx(narrow, rel=1e-4, abs=1e-5)


INVERTIBLE = [c for c in OURS if {"cdf", "icdf"} <= c.gives]


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
@pytest.mark.parametrize("case", INVERTIBLE, ids=str)
@given(data=st.data())
@quickly
def test_the_quantile_undoes_the_cdf(host: Any, case: Case, data: Any):
    params = of_case(data, case)
    probability = data.draw(arrays(float, (2, 1), elements=st.floats(1e-3, 1 - 1e-3)), "p")
    dist = host.make(case.name, params, validate=False)
    value = host.call(dist, "icdf", host.array(probability))
    found = host.call(dist, "cdf", host.array(value))
    if dist.law.discrete:  # The least value that is likely enough.
        below = host.call(dist, "cdf", host.array(value - 1e-3 * np.maximum(value, 1e-9)))
        assert np.all((below < probability) & (found >= probability * (1 - 1e-9)))
        return
    kept = (value > 1e-12) & (value < 1 - 1e-12) | (case.name == "LogitRelaxedBernoulli")
    expected = np.broadcast_to(probability, found.shape)
    np.testing.assert_allclose(found[kept], expected[kept], rtol=1e-3, atol=1e-9)
