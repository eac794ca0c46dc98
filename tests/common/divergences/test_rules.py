"""Every rule against its definition, its gradient, its zero and its extremes, on both hosts."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from tests.adapter import HOSTS, both
from tests.common.divergences.oracle import divergence
from tests.common.divergences.pairs import PAIRS, K, Pair, build

CASES = [
    pytest.param(host, pair, id=f"{host.name}-{pair}")
    for host in HOSTS.values()
    for pair in PAIRS
    if pair.only in (None, host.name)
]
NO_GRADIENT = ("values", "hard", "scale_logits")


def make(host, pair: Pair, seed: int = 0, dtype: str = "float64"):
    params_p, params_q = pair.params(np.random.default_rng(seed))
    for params in (params_p, params_q):
        if "values" in params:
            # Made before anything is compiled: that none repeats is seen in the numbers alone.
            params["values"] = host.array(params["values"], dtype)
    return params_p, params_q


def _share_temperature(host, pair, params_p, params_q):
    if params_p.get("temperature") is params_q.get("temperature"):
        shared = (
            {"temperature": host.array(params_p["temperature"])}
            if ("temperature" in params_p)
            else {}
        )
        return build(host, pair.p, params_p | shared), build(host, pair.q, params_q | shared)
    return build(host, pair.p, params_p), build(host, pair.q, params_q)


@pytest.mark.parametrize(("host", "pair"), CASES)
def test_zero_at_equal_parameters(host, pair):
    if pair.p != pair.q:
        # Another class of the same law: at equal logits.
        logits = make(host, pair)[0].get("logits", np.zeros(20))
        if "RebarRelaxation" in (pair.p, pair.q):
            logits = 0.0 * logits
        params_p, params_q = ({**params, "logits": logits} for params in make(host, pair))
        for params in (params_p, params_q):
            params.pop("probs", None)
            params.pop("scale_logits", None)
    else:
        params_p = params_q = make(host, pair)[0]
    p, q = _share_temperature(host, pair, params_p, params_q)
    kl = host.numpy(host.compiled(lambda: host.rx.kl_divergence(p, q))())
    np.testing.assert_allclose(kl, 0.0, atol=2e-14 * K)


@pytest.mark.compiles_each
@pytest.mark.parametrize(("host", "pair"), CASES)
def test_twenty_settings_against_the_definition_and_their_gradients(host, pair):
    params_p, params_q = make(host, pair)
    inputs = {}
    for side, params in (("p", params_p), ("q", params_q)):
        for name, value in params.items():
            shared = params_p.get(name) is params_q.get(name)
            # probs and covariances live on a surface that a difference would leave.
            if name in NO_GRADIENT or shared or name in ("probs", "covariance_matrix"):
                continue
            inputs[f"{side}.{name}"] = host.array(value)
    fixed_temperature = host.array(params_p["temperature"]) if "temperature" in params_p else None

    def total(given):
        sides = []
        for side, cls, params in (("p", pair.p, params_p), ("q", pair.q, params_q)):
            own = dict(params)
            if fixed_temperature is not None and params_p["temperature"] is params_q.get(
                "temperature"
            ):
                own["temperature"] = fixed_temperature
            own |= {n.removeprefix(f"{side}."): v for n, v in given.items() if n[0] == side}
            sides.append(build(host, cls, own))
        found = host.rx.kl_divergence(*sides)
        return found.sum(), found

    # One program for the values and all that their gradients are compared with.
    program = host.compiled(host.with_gradient(total))
    (_, exact), gradients = program(inputs)
    exact = host.numpy(exact)
    p, q = build(host, pair.p, params_p), build(host, pair.q, params_q)
    wanted = divergence(host, p, q, pair.space, params_p.get("temperature", 1.0))
    assert exact.shape == wanted.shape == (20,)
    assert np.all(exact > 0)
    np.testing.assert_allclose(exact, wanted, rtol=1e-6, atol=1e-12)
    step = 1e-5
    for name, value in inputs.items():
        numpy = host.numpy(value)
        flat = numpy.reshape(numpy.shape[0], -1) if numpy.ndim else numpy.reshape(1, 1)
        column = 0  # One coordinate of each of the twenty settings, one setting at a time.
        for row in range(0, flat.shape[0], 7):
            moved = []
            for sign in (1.0, -1.0):
                changed = flat.copy()
                changed[row, column] += sign * step
                other = {**inputs, name: host.array(changed.reshape(numpy.shape))}
                moved.append(float(host.numpy(program(other)[0][0])))
            difference = (moved[0] - moved[1]) / (2 * step)
            found = host.numpy(gradients[name]).reshape(flat.shape)[row, column]
            assert found == pytest.approx(difference, rel=1e-5, abs=1e-7), (name, row)


EXTREME = [c for c in CASES if "logits" in c.values[1].params(np.random.default_rng(0))[0]]


@pytest.mark.compiles_each
@pytest.mark.parametrize(("host", "pair"), EXTREME)
def test_finite_at_extreme_logits_in_float32(host, pair):
    params_p, params_q = make(host, pair, dtype="float32")
    rng = np.random.default_rng(3)
    shape = params_p["logits"].shape
    for params in (params_p, params_q):
        params.pop("probs", None)
        params["logits"] = rng.choice([-50.0, 0.0, 50.0], size=shape)
    if "temperature" in params_p and params_p["temperature"] is params_q.get("temperature"):
        shared = host.array(params_p["temperature"], "float32")
        params_p["temperature"] = params_q["temperature"] = shared
    inputs = {s: host.array(v["logits"], "float32") for s, v in (("p", params_p), ("q", params_q))}

    def total(given):
        p = build(host, pair.p, params_p | {"logits": given["p"]}, "float32")
        q = build(host, pair.q, params_q | {"logits": given["q"]}, "float32")
        return host.rx.kl_divergence(p, q).sum()

    value = host.numpy(host.compiled(total)(inputs))
    assert value.dtype == np.float32
    assert np.isfinite(value)
    for gradient in host.grad(total, inputs).values():
        assert np.all(np.isfinite(gradient))


@both
@pytest.mark.parametrize("size", [2, 3, 6, 40])
@pytest.mark.parametrize("scale", [0.01, 1.0, 50.0])
def test_concrete_of_many_classes_against_divided_differences(host, size, scale):
    """E[log sum r_i w_i] under a uniform Dirichlet is a divided difference of x^(K-1) log x."""
    import mpmath as mp

    mp.mp.dps = 120
    log_p, log_q = scale * np.random.default_rng(size).normal(size=(2, size))
    r = [mp.exp(mp.mpf(float(b)) - mp.mpf(float(a))) for a, b in zip(log_p, log_q, strict=True)]
    total = mp.mpf(0)
    for i, x in enumerate(r):
        others = mp.fprod(x - y for j, y in enumerate(r) if j != i)
        total += x ** (size - 1) * (mp.log(x) - mp.harmonic(size - 1)) / others
    wanted = float(size * total - sum(map(mp.log, r)))
    temperature = host.array(0.3)
    p = host.rx.RelaxedOneHotCategorical(temperature, logits=host.array(log_p))
    q = host.rx.RelaxedOneHotCategorical(temperature, logits=host.array(log_q))
    assert float(host.rx.kl_divergence(p, q)) == pytest.approx(wanted, rel=1e-9)


SIZE = 5
LOG_PROBS = np.random.default_rng(1).normal(size=(2, SIZE))


@functools.cache
def a_million_draws():
    """The mean of log p(x) - log q(x) under p, and its standard error, in NumPy."""
    temperature, (log_p, log_q) = 0.4, LOG_PROBS
    log_p = log_p - np.logaddexp.reduce(log_p)
    noise = np.random.default_rng(7).gumbel(size=(1_000_000, SIZE))
    x = (log_p + noise) / temperature
    x -= np.logaddexp.reduce(x, axis=-1, keepdims=True)

    def density(log_probs):
        scores = log_probs - temperature * x
        return scores.sum(-1) - SIZE * np.logaddexp.reduce(scores, axis=-1)

    draws = density(log_p) - density(log_q)
    return draws.mean(), draws.std() / 1000.0


@both
def test_concrete_against_a_million_draws(host):
    p, q = (host.rx.RelaxedOneHotCategorical(0.4, logits=host.array(side)) for side in LOG_PROBS)
    mean, error = a_million_draws()
    assert abs(float(host.rx.kl_divergence(p, q)) - mean) < 4 * error


@both
def test_concrete_keeps_its_precision_in_float32(host):
    """At logits of +-50 and beyond, and close to each other, against float64."""
    rng = np.random.default_rng(2)
    logits = rng.choice([-50.0, 50.0, 3.0], size=(2, 50, 8))
    logits[:, 25:] = rng.normal(size=(2, 25, 8)).astype("float32")

    def kl(p, q):
        laws = (host.rx.RelaxedOneHotCategorical(0.5, logits=side) for side in (p, q))
        return host.rx.kl_divergence(*laws)

    compiled = host.compiled(kl)
    found, wanted = (
        host.numpy(compiled(*(host.array(side, dtype) for side in logits)))
        for dtype in ("float32", "float64")
    )
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)


@both
def test_a_gradient_of_a_gradient(host):
    """The rules are plain functions of their parameters: nothing is cut off."""
    if host.name == "numpyro":
        import jax

        def kl(a):
            p = host.rx.RelaxedOneHotCategorical(0.5, logits=a)
            return host.rx.kl_divergence(p, host.rx.RelaxedOneHotCategorical(0.5, logits=0 * a))

        hessian = np.asarray(jax.jit(jax.hessian(kl))(host.array(np.zeros(3))))
    else:
        import torch

        def kl(a):
            p = host.rx.RelaxedOneHotCategorical(0.5, logits=a)
            q = host.rx.RelaxedOneHotCategorical(0.5, logits=torch.zeros(3, dtype=a.dtype))
            return host.rx.kl_divergence(p, q)

        hessian = torch.autograd.functional.hessian(kl, host.array(np.zeros(3))).numpy()
    # The Fisher information of the Concrete law at uniform logits: K / (K + 1) (I - 11' / K).
    wanted = K / (K + 1) * (np.eye(K) - 1 / K)
    np.testing.assert_allclose(hessian, wanted, atol=1e-9)
