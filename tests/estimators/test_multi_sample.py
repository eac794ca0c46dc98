"""The bound of K draws and its gradients, against the enumeration of all tuples of draws."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from relaxppl.estimators import vimco
from tests.adapter import HOSTS, both
from tests.estimators.multi_sample_cases import CASES, INTEGER, MIXED
from tests.estimators.multi_sample_measure import measure

ESTIMATORS = {
    host.name: {
        "vimco": (host.rx.VIMCO_ELBO, {"num_particles": 3}),
        "wake": (host.rx.ReweightedWakeSleep_ELBO, {"num_particles": 2}),
    }
    for host in HOSTS.values()
}
VECTORIZED = {"vectorize_particles": True, "max_plate_nesting": 2}


# A compilation is what a case costs on NumPyro; the others were run by hand.
@pytest.mark.parametrize(
    ("host", "case"),
    [*((HOSTS["numpyro"], case) for case in ("plate", "mixed")),
     *((HOSTS["pyro"], case) for case in ("levels", "plate", "mixed", "masked"))],
    ids=lambda x: x if isinstance(x, str) else x.name,
)  # fmt: skip
def test_vimco(host, case):
    make, options = ESTIMATORS[host.name]["vimco"]
    if case == "mixed":
        options = {"num_particles": 2}
    if host.name == "pyro" and case in ("plate", "mixed"):
        options = options | VECTORIZED
    elbo = make(**options)
    outcome = measure(host, CASES[case], elbo, 2_000, 5)
    assert outcome.worst < 4
    assert outcome.value < 8  # Student's t of five values: one in a thousand lies beyond.
    assert outcome.error < 0.06
    assert elbo.rows == ("repetitions", *CASES[case].plates)


@both
def test_reweighted_wake_sleep(host):
    """Its own expectation at two draws, along held draws and with a parameter of both programs."""
    make, options = ESTIMATORS[host.name]["wake"]
    for case in (MIXED, INTEGER) if host.name == "pyro" else (MIXED,):
        outcome = measure(host, case, make(**options), 2_000, 5, exact="reweighted")
        assert outcome.worst < 4
        assert outcome.value < 8
        assert outcome.error < 0.06


@pytest.mark.parametrize("kind", ["geometric", "arithmetic"])
@pytest.mark.parametrize("array", [jnp.asarray, torch.as_tensor], ids=["jax", "torch"])
def test_baselines_see_the_other_draws_alone(kind, array):
    log_w = np.random.default_rng(0).normal(size=(2, 4, 3))
    found = np.asarray(vimco.baselines(array(log_w), 1, kind))
    for k in range(4):
        w = np.exp(np.delete(log_w, k, 1))
        mean = {"geometric": np.exp(np.log(w).mean(1)), "arithmetic": w.mean(1)}[kind]
        np.testing.assert_allclose(found[k], np.log((w.sum(1) + mean) / 4))


@pytest.mark.parametrize("kind", ["geometric", "arithmetic"])
def test_draws_without_weight_leave_a_finite_baseline(kind):
    log_w = jnp.array([[0.3, -jnp.inf, -jnp.inf], [0.3, -jnp.inf, -1.0]]).T
    assert np.isfinite(np.asarray(vimco.baselines(log_w, 0, kind))).all()


@both
def test_one_bound_for_what_lies_in_no_plate(host):
    """And `discrete_elbo` has the same bound, whatever estimator the sites were trained with."""
    dist = host.dist

    def model():
        a = host.sample("a", dist.Bernoulli(host.array(0.4)))
        with host.plate("data", 2):
            b = host.sample("b", dist.Bernoulli(logits=a - host.array([0.3, 0.8])))
            host.sample("x", dist.Normal(2.0 * b, 1.0), obs=host.array([1.7, -0.3]))

    def guide():
        logits = host.lib.param("q", host.array([0.6, -0.2, 0.5]))
        host.sample("a", dist.Bernoulli(logits=logits[0]), infer={"estimator": "disarm"})
        with host.plate("data", 2):
            host.sample("b", dist.Bernoulli(logits=logits[1:]))

    q = np.array([0.6, -0.2, 0.5])
    log_w, mass = [], []
    for bits in np.ndindex(2, 2, 2):
        z = np.array(bits)
        log_q = (z * q - np.log1p(np.exp(q))).sum()
        prior = z[0] - np.array([0.3, 0.8])
        log_p = np.log([0.6, 0.4][bits[0]]) + (z[1:] * prior - np.log1p(np.exp(prior))).sum()
        gap = np.array([1.7, -0.3]) - 2.0 * z[1:]
        log_w.append(log_p - 0.5 * (gap**2).sum() - np.log(2 * np.pi) - log_q)
        mass.append(np.exp(log_q))
    exact = sum(
        mass[i] * mass[j] * np.log((np.exp(log_w[i]) + np.exp(log_w[j])) / 2)
        for i in range(8)
        for j in range(8)
    )
    params = {"q": host.array(q)}
    many = {"numpyro": 2000, "pyro": 12}[host.name]
    options = {"num_particles": many, "importance_samples": 2}

    def bound(key):
        key = {"rng_key": key} if host.name == "numpyro" else {}
        return host.rx.discrete_elbo(model, guide, params, **key, **options)

    torch.manual_seed(0)
    keys = jax.random.split(jax.random.key(0), 10)
    found = jax.jit(jax.vmap(bound))(keys) if host.name == "numpyro" else [bound(k) for k in keys]
    assert abs(np.mean(found) - exact) < 5 * np.std(found, ddof=1) / 10**0.5
    options["importance_samples"] = 0
    with pytest.raises(ValueError, match="importance_samples must be a whole number"):
        bound(keys[0])


@both
def test_refusals(host):
    make = host.rx.VIMCO_ELBO
    with pytest.raises(ValueError, match="needs num_particles >= 2, got 1"):
        make(num_particles=1)
    with pytest.raises(ValueError, match="WakeSleep_ELBO needs num_particles >= 2, got 1"):
        host.rx.ReweightedWakeSleep_ELBO(num_particles=1)
    with pytest.raises(ValueError, match="baseline must be 'geometric' or 'arithmetic'"):
        make(baseline="mean")
    with pytest.raises(ValueError, match="VIMCO_ELBO has no KL term"):
        make(exact_kl=True)

    def guide():
        logits = host.array(np.zeros(4))
        host.sample("k", host.dist.Categorical(logits=logits), infer={"estimator": asked})

    def model():
        host.sample("k", host.dist.Categorical(logits=host.array(np.ones(4))))

    for elbo, asked, named in (  # noqa: B007  The guide reads it.
        (make(), "disarm", "DisARM"),
        (host.rx.RLOO_ELBO(), "vimco", "VIMCO"),
        (make(), "reweighted_wake_sleep", "ReweightedWakeSleep"),
    ):
        key = () if host.name == "pyro" else (jax.random.key(0), {})
        with pytest.raises(ValueError, match=rf"'k': .* asks for {named}\(.*_ELBO and no"):
            elbo.loss(*key, model, guide)
