"""float32 and half precision at the ends of what is allowed: no NaN, own samples in the support."""

from __future__ import annotations

import functools
import os
from importlib.metadata import version
from typing import Any

import numpy as np
import pytest

from relaxppl import ops
from tests.adapter import HOSTS, Host, is_static
from tests.relaxations.case import Case, Params, batch_shape
from tests.relaxations.cases import CASES, ONE_OF_EACH_KIND, both, first_of_each, name_of

HALF = ("float16", "bfloat16")
FIRST = (0, "float32")
EXTREME = [
    (host, case, i, "float32") for host, case in both(CASES) for i in range(len(case.extremes))
]
# Half precision is one path through the shells: a row of each class of ours, and the law of both
# kinds in tests/hosts/conformance.
EXTREME += [
    (host, case, 0, dtype)
    for host, case in both(first_of_each(CASES))
    if case.extremes and (host.name, case.name) != ("pyro", "OneHotCategorical")
    for dtype in HALF
    # Compiled for each.
    if (host.name, dtype) != ("numpyro", "bfloat16")
]
ROWS = [
    pytest.param(
        *row,
        # What NumPyro compiles for each class is what it is given as a rule.
        marks=pytest.mark.long
        if row[0].name == "numpyro" and row[1].name not in ONE_OF_EACH_KIND and row[2:] != FIRST
        else (),
    )
    for row in EXTREME
]
DRAWS = 50

OVERFLOWS = ("numpyro", "InvertibleGaussian", "delta", 0, "float32")
"""Where y / T is 1e9. With the flags of the tests jaxlib 0.10.1 makes the largest coordinate of
some samples NaN, as if what is subtracted from it were rounded otherwise; with its own flags it
does not, and later releases do not either.
"""
QUICK_AND_OLD = version("jaxlib") == "0.10.1" and "XLA_FLAGS" not in os.environ


def at(case: Case, i: int, dtype: str = "float32") -> Params:
    params = {n: v if is_static(v) else np.asarray(v, float) for n, v in case.extremes[i].items()}
    return params if dtype == "float32" else {n: representable(v) for n, v in params.items()}


def representable(value: Any) -> Any:
    """The value moved to where float16 and bfloat16 have room: 0.999 is not 1."""
    if is_static(value):
        return value
    size = np.clip(np.abs(value), 1e-4, 1e4)
    near_one = (size > 0.99) & (size < 1)
    return np.where(value == 0, 0.0, np.sign(value) * np.where(near_one, 0.99, size))


@pytest.mark.parametrize(("host", "case", "i", "dtype"), ROWS, ids=name_of)
def test_samples_densities_and_gradients(host: Host, case: Case, i: int, dtype: str):
    """One program for each: own samples lie in the support, and nothing is NaN."""
    if (host.name, case.name, case.label, i, dtype) == OVERFLOWS and QUICK_AND_OLD:
        pytest.skip("run it with XLA_FLAGS set to nothing")
    params = at(case, i, dtype)
    fixed = {n: v for n, v in params.items() if is_static(v)}
    free = {n: host.array(v, dtype) for n, v in params.items() if n not in fixed}
    # Half precision's gradients leave float16's range there.
    differentiated = case.reparameterized and dtype != "float16"
    host.make(case.name, params, dtype)  # Validated: these are allowed.
    run = program(host, case.name, tuple(fixed.items()), case.density, differentiated)
    (sample, inside, log_prob), grads = run(free)
    sample = host.numpy(sample)
    assert np.isfinite(sample.astype(float)).all()
    if dtype == "float32" and not case.whole:
        assert sample.dtype == np.float32
    assert sample.shape == (DRAWS, *batch_shape(case, params), *case.event_shape)
    assert host.numpy(inside).all()
    if log_prob is not None:
        log_prob = host.numpy(log_prob).astype(float)
        assert not np.isnan(log_prob).any()
        assert not (log_prob == np.inf).any()
    for what, each in grads.items():
        for name, grad in each.items():
            assert not np.isnan(host.numpy(grad).astype(float)).any(), (what, name)


@functools.cache
def program(
    host: Host, name: str, static: tuple[tuple[str, Any], ...], density: bool, differentiated: bool
) -> Any:
    """Draws, their densities and the gradients; compiled once for all parameters of a shape."""
    fixed = dict(static)

    def of_sample(dist, value):
        return value

    def of_log_prob(dist, value):
        return dist.log_prob(ops.stop_gradient(value))

    def of_both(dist, value):
        return dist.log_prob(value)

    def run(given):
        found = host.scored(host.build(name, {**given, **fixed}), 4, (DRAWS,), density)
        grads = {}
        for what in (of_sample, *((of_log_prob, of_both) if density else ())):
            if differentiated:

                def total(given, what=what):
                    dist = host.build(name, {**given, **fixed})
                    return what(dist, host.draw(dist, 4, (DRAWS,))).sum(), ()

                grads[what.__name__] = host.with_gradient(total)(given)[1]
        return found, grads

    return host.compiled(run)


ALL_HOSTS = pytest.mark.parametrize("host", HOSTS.values(), ids=name_of)
WIDE = {"temperature": 0.1, "logits": np.random.default_rng(0).normal(size=1000)}


@ALL_HOSTS
def test_a_thousand_classes_at_temperature_a_tenth(host: Host):
    dist = host.make("RelaxedOneHotCategorical", WIDE, "float32")
    log_prob = host.log_prob(dist, host.samples(dist, 0, (500,)), "float32")
    assert np.isfinite(log_prob).all()


@ALL_HOSTS
def test_the_logarithmic_sibling_loses_nothing(host: Host):
    dist = host.make("ExpRelaxedOneHotCategorical", WIDE, "float32")
    value = host.samples(dist, 0, (200,))
    single = host.log_prob(dist, value, "float32")
    exact = host.make("ExpRelaxedOneHotCategorical", WIDE, validate=False)
    # One ulp of the value moves log_prob by about its gradient, T K |log x|, in relative terms.
    double = host.log_prob(exact, value)
    np.testing.assert_allclose(single, double, rtol=2e-5)


@ALL_HOSTS
def test_a_value_rounded_to_an_end_stands_for_the_hard_value_of_that_end(host: Host):
    for logits in (-200.0, 200.0):
        dist = host.make("RebarRelaxation", {"temperature": 0.5, "logits": np.array(logits)})
        np.testing.assert_array_equal(host.call(dist, "harden", host.array([0.0, 1.0])), [0, 1])
