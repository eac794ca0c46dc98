"""Hard values: discrete where a program asks for them, relaxed numbers of counts among them."""

from __future__ import annotations

import functools

import numpy as np
import numpyro
import pyro
import pytest
import scipy.stats

from tests.adapter import HOSTS, both
from tests.common.relax.programs import law, one_site


def counts(host):
    array = host.array
    return {
        "poisson": host.dist.Poisson(array([2.0, 3.0])),
        "binomial": host.dist.Binomial(5, probs=array([0.3, 0.6])),
        "geometric": host.dist.Geometric(array([0.4, 0.7])),
        "negative binomial": (
            host.dist.NegativeBinomialProbs(array(3.0), array([0.3, 0.2]))
            if host.name == "numpyro"
            else host.dist.NegativeBinomial(array(3.0), probs=array([0.3, 0.2]))
        ),
        "gamma": host.dist.GammaPoisson(array(3.0), array([2.0, 4.0])),
    }


@both
def test_hard_values_have_the_discrete_law(host):
    rng = np.random.default_rng(0)
    probs = rng.uniform(0.1, 0.9, 4)

    def model():
        with host.plate("many", 4000):
            z = host.sample("z", host.dist.Bernoulli(host.array(probs)).to_event(1))
            k = host.sample("k", host.rx.OneHotCategorical(probs=host.array([0.2, 0.3, 0.5])))
            w = host.sample("w", host.dist.Bernoulli(host.array(0.3)))
        return z, k, w

    config = {
        "w": lambda d, t: host.rx.GaussianRelaxedBernoulli(
            # P(loc + scale e > 1/2) = 0.3.
            loc=host.array(0.5 + 0.4 * scipy.stats.norm.ppf(0.3)),
            scale=host.array(0.4),
        )
    }
    trace = host.trace(host.rx.relax(model, temperature=0.5, config=config, hard=True))
    for name, wanted in (("z", probs), ("k", [0.2, 0.3, 0.5]), ("w", 0.3)):
        value = host.numpy(trace[name]["value"])
        assert set(np.unique(value)) == {0, 1}
        np.testing.assert_allclose(value.mean(0), wanted, atol=4 * 0.5 / 4000**0.5)
    # It scores by the discrete law.
    value, log_prob = host.numpy(trace["w"]["value"]), host.numpy(host.site_log_prob(trace["w"]))
    np.testing.assert_allclose(log_prob, np.log(np.where(value > 0.5, 0.3, 0.7)), rtol=1e-12)


@both
def test_hard_hardens_a_relaxed_value_for_the_program(host):
    def model():
        z = host.sample("z", host.dist.Bernoulli(host.array(0.5)))
        k = host.sample("k", host.rx.OneHotCategorical(logits=host.array(np.zeros(3))))
        return host.lib.deterministic("seen", z + k)

    data = {"z": host.array(0.8), "k": host.array([0.2, 0.5, 0.3])}
    program = host.rx.relax(model, temperature=0.5, hard=True)
    if host.name == "numpyro":
        seen = host.trace(host.substitute(program, data))["seen"]["value"]
    else:
        given = pyro.poutine.trace(model).get_trace()
        for name, value in data.items():
            given.nodes[name]["value"] = value
        seen = pyro.poutine.trace(pyro.poutine.replay(program, trace=given)).get_trace()
        seen = seen.nodes["seen"]["value"]
    np.testing.assert_array_equal(host.numpy(seen), [1.0, 2.0, 1.0])


@both
def test_predictive_of_hard_values(host):
    def model():
        z = host.sample("z", host.dist.Bernoulli(host.array(0.5)))
        host.sample("x", host.dist.Delta(z * 2.0))

    program = host.rx.relax(model, temperature=0.5, hard=True)
    if host.name == "numpyro":
        import jax

        samples = numpyro.infer.Predictive(program, num_samples=50)(jax.random.key(0))
    else:
        samples = pyro.infer.Predictive(program, num_samples=50)()
    np.testing.assert_array_equal(np.unique(samples["z"]), [0, 1])
    np.testing.assert_array_equal(samples["x"], 2 * samples["z"])


# NumPyro compiles for each length of a table; how long it is, is found in what the hosts share.
@pytest.mark.parametrize(
    ("kind", "host"),
    [
        pytest.param(
            kind,
            host,
            marks=pytest.mark.long
            if host.name == "numpyro" and kind not in ("poisson", "gamma")
            else (),
        )
        for kind in ("poisson", "binomial", "geometric", "negative binomial", "gamma")
        for host in HOSTS.values()
    ],
    ids=lambda x: getattr(x, "name", x),
)
def test_counts_are_relaxed_on_their_values(host, kind):
    number = host.rx.relaxation_of(counts(host)[kind].expand([3, 2]).to_event(1), 0.3)
    assert law({"fn": number}) == "GeneralizedGumbelSoftmax"
    assert tuple(number.batch_shape) == (3,)
    discrete, inner = counts(host)[kind], number
    while not hasattr(inner, "values"):
        inner = inner.base_dist
    values, probs = host.numpy(inner.values), host.numpy(inner.values_probs)
    size = values.shape[-1]
    np.testing.assert_array_equal(values, np.broadcast_to(np.arange(size), values.shape))
    wanted = host.numpy(discrete.log_prob(host.array(np.ones(2))))
    np.testing.assert_allclose(np.log(probs.reshape(-1, 2, size)[0, :, 1]), wanted, rtol=1e-9)


@both
def test_counts_hold_their_weights(host):
    discrete = counts(host)["poisson"].expand([3, 2]).to_event(1)
    program = host.rx.relax(
        lambda: host.lib.deterministic("n", one_site(host, discrete)()), temperature=0.3
    )
    trace = host.trace(program)
    site = trace["z"]
    assert law(site) == "RelaxedOneHotCategorical"
    weights = host.numpy(site["value"])
    assert weights.shape[:-1] == (3, 2)
    assert tuple(site["fn"].batch_shape) == (3,)
    assert np.all(np.isfinite(host.numpy(host.site_log_prob(site))))
    # The program sees the number that the weights make.
    made = weights @ np.arange(weights.shape[-1])
    np.testing.assert_allclose(host.numpy(trace["n"]["value"]), made, rtol=1e-9, atol=1e-12)


@both
@pytest.mark.parametrize("registered", [True, False])
def test_hard_counts(host, registered):
    """Drawn, they are counts; weights that are substituted give the number of the largest one."""
    discrete = counts(host)["poisson"]
    config = None if registered else {"z": functools.partial(host.rx.truncate, size=5)}

    def model():
        return host.lib.deterministic("n", one_site(host, discrete)() + host.array(0.0))

    program = host.rx.relax(model, temperature=0.3, config=config, hard=True)
    trace = host.trace(program)
    drawn = host.numpy(trace["n"]["value"])
    np.testing.assert_array_equal(drawn, np.round(drawn))
    np.testing.assert_array_equal(drawn, host.numpy(trace["z"]["value"]))
    size = host.rx.truncate(discrete, 0.3).values.shape[-1] if registered else 5
    weights = np.full((2, size), 0.01)
    weights[0, 3] = weights[1, 1] = 1.0 - 0.01 * (size - 1)
    if host.name == "numpyro":
        seen = host.trace(host.substitute(program, {"z": host.array(weights)}))["n"]["value"]
    else:
        given = pyro.poutine.trace(model).get_trace()
        given.nodes["z"]["value"] = host.array(weights)
        seen = pyro.poutine.trace(pyro.poutine.replay(program, trace=given)).get_trace()
        seen = seen.nodes["n"]["value"]
    np.testing.assert_array_equal(host.numpy(seen), [3.0, 1.0])


@both
def test_predictive_of_a_guide_and_a_model(host):
    """Counts too, whose relaxation cannot be made where their rates are traced."""

    def model():
        with host.plate("two", 2):
            z = host.sample("z", host.dist.Bernoulli(host.array(0.5)))
            k = host.sample("k", host.dist.Geometric(host.array(0.3)))
            host.sample("x", host.dist.Delta(z + 10.0 * k))

    def guide():
        half = host.lib.param("half", host.array(np.full(2, 0.25)))
        with host.plate("two", 2):
            host.sample("z", host.dist.Bernoulli(host.array(0.9)))
            # NumPyro's are floats, as relaxed values would be.
            host.sample("k", host.dist.Geometric(2.0 * half))

    pair = [host.rx.relax(f, temperature=0.5, hard=True) for f in (model, guide)]
    if host.name == "numpyro":
        import jax

        params = {"half": host.array([0.1, 0.2])}
        predictive = numpyro.infer.Predictive(pair[0], guide=pair[1], params=params, num_samples=9)
        ways = [predictive(jax.random.key(0))]
    else:
        pyro.clear_param_store()
        ways = [
            pyro.infer.Predictive(pair[0], guide=pair[1], num_samples=9, parallel=flag)()
            for flag in (False, True)
        ]
    for samples in ways:
        x = host.numpy(samples["x"])
        assert x.shape == (9, 2)
        np.testing.assert_array_equal(x % 10, np.round(x % 10))
        if "z" in samples:
            wanted = host.numpy(samples["z"]) + 10.0 * host.numpy(samples["k"])
            np.testing.assert_array_equal(x, wanted)


@both
def test_counts_of_a_model_and_a_guide(host):
    """Both truncate at one size; sites of another size are refused where they meet."""
    size = functools.partial(host.rx.truncate, size=12)

    def model():
        z = host.sample("z", host.dist.Poisson(host.array(2.0)))
        host.sample("x", host.dist.Normal(z, 0.5), obs=host.array(4.0))

    def guide():
        rate = host.lib.param("rate", host.array(1.0))
        host.sample("z", host.dist.Poisson(rate))

    pair = [host.rx.relax(f, temperature=0.5, config={"z": size}) for f in (model, guide)]
    if host.name == "numpyro":
        import jax

        svi = numpyro.infer.SVI(*pair, numpyro.optim.Adam(0.1), numpyro.infer.TraceMeanField_ELBO())
        rate = svi.run(jax.random.key(0), 200, progress_bar=False).params["rate"]
    else:
        pyro.clear_param_store()
        svi = pyro.infer.SVI(*pair, pyro.optim.Adam({"lr": 0.1}), pyro.infer.TraceMeanField_ELBO())
        for _ in range(200):
            svi.step()
        rate = pyro.param("rate").item()
    # From 1 towards the datum's 4; the KL of the relaxed weights holds it near the prior's 2.
    assert 1.5 < float(rate) < 4.0

    other = host.rx.relax(
        guide, temperature=0.5, config={"z": functools.partial(host.rx.truncate, size=9)}
    )
    if host.name == "numpyro":
        replayed = numpyro.handlers.replay(pair[0], trace=host.trace(other))
    else:
        guided = pyro.poutine.trace(other).get_trace()
        replayed = pyro.poutine.replay(pair[0], trace=guided)
    with pytest.raises(ValueError, match=r"'z' takes weights of shape \(12,\).*size"):
        host.trace(replayed)
