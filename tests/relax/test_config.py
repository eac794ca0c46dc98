"""What stands at a site: the registry, config, hard values, counts, and every refusal."""

from __future__ import annotations

import functools

import numpy as np
import numpyro
import pyro
import pytest
import scipy.stats
import torch

import relaxppl.numpyro as rn
import relaxppl.pyro as rp
from tests.relax.hosts import both, law


def one_site(host, distribution):
    def model():
        return host.sample("z", distribution)

    return model


def stands(host, distribution, **options):
    program = host.rx.relax(one_site(host, distribution), **({"temperature": 0.5} | options))
    return host.trace(program)["z"]


@both
def test_config_of_names(host):
    def model():
        for name in "abcd":
            host.sample(name, host.dist.Bernoulli(logits=host.array([0.3, 1.0])).to_event(1))

    config = {
        "a": None,
        "b": host.rx.HardConcrete,
        "c": lambda d, t: host.rx.RelaxedBernoulli(2 * t, logits=d.logits + 1.0),
    }
    trace = host.trace(host.rx.relax(model, temperature=0.5, config=config))
    assert [law(trace[n]) for n in "bcd"] == [
        "HardConcrete",
        "RelaxedBernoulli",
        "RelaxedBernoulli",
    ]
    assert law(trace["a"]).startswith("Bernoulli")
    inner = trace["c"]["fn"].base_dist
    np.testing.assert_allclose(host.numpy(inner.temperature).ravel()[0], 1.0)
    np.testing.assert_allclose(host.numpy(inner.logits), [1.3, 2.0])


@both
@pytest.mark.parametrize(
    "name",
    ["StraightThroughBernoulli", "RelaxedBernoulliStraightThrough", "RebarRelaxation"],
)
def test_classes_of_a_bernoulli(host, name):
    site = stands(host, host.dist.Bernoulli(host.array(0.3)), config={"z": getattr(host.rx, name)})
    assert law(site) == name
    assert host.numpy(site["fn"].probs) == pytest.approx(0.3)


@both
def test_classes_and_factories_of_a_one_hot(host):
    discrete = host.rx.OneHotCategorical(logits=host.array([0.1, 2.0, -1.0]))
    decoupled = host.rx.DecoupledStraightThroughGumbelSoftmax
    site = stands(host, discrete, config={"z": decoupled})
    assert law(site) == "DecoupledStraightThroughGumbelSoftmax"
    assert host.numpy(site["fn"].temperature_backward) == 0.5

    def gaussian(d, t):
        return host.rx.InvertibleGaussian(
            t, loc=d.logits[..., :-1] - d.logits[..., -1:], scale=host.array([1.0, 1.0])
        )

    site = stands(host, discrete, config={"z": gaussian})
    assert law(site) == "InvertibleGaussian"
    assert tuple(site["value"].shape) == (3,)


@both
def test_config_as_a_function_of_the_site(host):
    def model():
        with host.plate("two", 2):
            host.sample("small", host.dist.Bernoulli(host.array(0.3)))
        host.sample("large", host.dist.Bernoulli(host.array(0.3)))

    def config(site):
        return host.rx.relaxation_of if site["cond_indep_stack"] else None

    trace = host.trace(host.rx.relax(model, temperature=0.5, config=config))
    assert law(trace["small"]) == "RelaxedBernoulli"
    assert law(trace["large"]).startswith("Bernoulli")


@both
def test_a_factory_may_take_the_dimensions_of_to_event(host):
    matrix = host.array([[1.0, 0.5], [0.5, 1.0]])

    def correlated(d, t):
        return host.rx.CorrelatedRelaxedBernoulli(t, logits=d.logits, correlation_matrix=matrix)

    discrete = host.dist.Bernoulli(logits=host.array(np.zeros((3, 2)))).to_event(1)
    site = stands(host, discrete, config={"z": correlated})
    assert law(site) == "CorrelatedRelaxedBernoulli"
    assert tuple(site["fn"].event_shape) == (2,)
    assert tuple(site["fn"].batch_shape) == (3,)


@both
def test_relaxation_of_keeps_the_wrappers(host):
    discrete = host.dist.Bernoulli(host.array(0.3)).expand([4, 2]).to_event(1)
    relaxed = host.rx.relaxation_of(discrete, 0.5)
    assert tuple(relaxed.batch_shape) == (4,)
    assert tuple(relaxed.event_shape) == (2,)
    flags = host.array([1.0, 0.0]) > 0.5
    masked = host.dist.Bernoulli(host.array([0.3, 0.4])).mask(flags).expand([3, 2])
    site = stands(host, masked.to_event(1))
    assert law(site) == "RelaxedBernoulli"
    one = host.rx.RelaxedBernoulli(0.5, probs=host.array(0.3)).log_prob(site["value"][..., 0])
    np.testing.assert_allclose(host.log_prob(site), host.numpy(one), rtol=1e-12)


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
    value, log_prob = host.numpy(trace["w"]["value"]), host.log_prob(trace["w"])
    np.testing.assert_allclose(log_prob, np.log(np.where(value > 0.5, 0.3, 0.7)), rtol=1e-12)


@both
def test_a_factory_may_leave_dimensions_to_broadcasting(host):
    def factory(d, t):
        return host.rx.HardConcrete(t, logits=host.array(0.0))

    discrete = host.dist.Bernoulli(host.array(np.full(500, 0.5)))
    soft = stands(host, discrete, config={"z": factory})
    assert tuple(soft["fn"].batch_shape) == (500,)
    hard = stands(host, discrete, config={"z": factory}, hard=True)
    value = host.numpy(hard["value"])
    assert set(np.unique(value)) == {0, 1}
    assert abs(value.mean() - 0.5) < 4 * 0.5 / 500**0.5


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
@pytest.mark.parametrize("kind", ["poisson", "binomial", "geometric", "negative binomial", "gamma"])
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
    assert np.all(np.isfinite(host.log_prob(site)))
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


@both
def test_registering(host):
    class Coin(host.dist.BernoulliProbs if host.name == "numpyro" else host.dist.Bernoulli):
        pass

    class Heads(Coin):
        pass

    def factory(d, t):
        return host.rx.RelaxedBernoulli(9.0 * t, probs=d.probs)

    # A subclass has its base's relaxation until it has its own; the most specific one wins.
    before = stands(host, Heads(host.array(0.3)))["fn"]
    assert host.numpy(before.temperature) == 0.5
    host.rx.register_relaxation(Coin, factory)
    assert host.numpy(stands(host, Heads(host.array(0.3)))["fn"].temperature) == 4.5
    host.rx.register_relaxation(Heads, lambda d, t: host.rx.RelaxedBernoulli(t, probs=d.probs))
    assert host.numpy(stands(host, Heads(host.array(0.3)))["fn"].temperature) == 0.5
    assert host.numpy(stands(host, Coin(host.array(0.3)))["fn"].temperature) == 4.5
    with pytest.raises(ValueError, match="Coin has a relaxation already; pass replace=True"):
        host.rx.register_relaxation(Coin, factory)
    host.rx.register_relaxation(
        Coin, lambda d, t: host.rx.RelaxedBernoulli(3.0 * t, probs=d.probs), replace=True
    )
    assert host.numpy(stands(host, Coin(host.array(0.3)))["fn"].temperature) == 1.5
    with pytest.raises(TypeError, match="takes a class of distributions and a function"):
        host.rx.register_relaxation("Coin", factory)


@both
def test_an_integer_categorical_is_refused(host):
    discrete = host.dist.Categorical(logits=host.array([0.1, 0.2]))
    with pytest.raises(ValueError, match="'z' is an integer Categorical") as error:
        stands(host, discrete)
    message = str(error.value)
    assert f"z = {host.name}.sample('z', rx.OneHotCategorical(logits=logits))" in message
    assert "z @ table" in message
    assert law(stands(host, discrete, config={"z": None})).startswith("Categorical")


@both
def test_a_class_without_a_relaxation(host):
    discrete = host.dist.Multinomial(3, probs=host.array([0.4, 0.6]))
    with pytest.raises(ValueError, match=r"'z' is a Multinomial\w*, .*register_relaxation"):
        stands(host, discrete)


@both
def test_another_event_shape(host):
    with pytest.raises(ValueError, match=r"'z' has events of shape \(\).*shape \(2,\)"):
        stands(
            host,
            host.dist.Bernoulli(host.array(0.3)),
            config={
                "z": lambda d, t: host.rx.RelaxedOneHotCategorical(t, logits=host.array([0.0, 1.0]))
            },
        )


@both
def test_another_batch_shape(host):
    with pytest.raises(ValueError, match=r"'z' has batch shape \(2,\).* has \(3,\)"):
        stands(
            host,
            host.dist.Bernoulli(host.array([0.3, 0.4])),
            config={"z": lambda d, t: host.rx.RelaxedBernoulli(t, logits=host.array([0.0] * 3))},
        )


@both
def test_an_unknown_site_in_config(host):
    with pytest.raises(ValueError, match=r"config names 'y', but .*its sites are: z"):
        stands(host, host.dist.Bernoulli(host.array(0.3)), config={"y": None})
    # An observed site is a site.
    observed = host.condition(
        one_site(host, host.dist.Bernoulli(host.array(0.3))), {"z": host.array(1.0)}
    )
    host.trace(host.rx.relax(observed, temperature=0.5, config={"z": host.rx.RebarRelaxation}))


@both
@pytest.mark.parametrize("temperature", [0, -1.0, float("nan")])
def test_a_temperature_that_is_not_positive(host, temperature):
    with pytest.raises(ValueError, match=r"temperature must be positive \(> 0\), got"):
        host.rx.relax(lambda: None, temperature=temperature)
    with pytest.raises(ValueError, match=r"temperature must be positive \(> 0\), got"):
        host.rx.RelaxReparam(temperature)


@both
def test_a_temperature_array_that_is_not_positive(host):
    with pytest.raises(ValueError, match=r"at the site 'z' \(Bernoulli.*temperature"):
        stands(host, host.dist.Bernoulli(host.array(0.3)), temperature=host.array(-0.5))


@both
def test_arguments_of_the_wrong_kind(host):
    with pytest.raises(TypeError, match="give a temperature"):
        host.rx.relax(lambda: None)
    with pytest.raises(TypeError, match="positive number, an array or a schedule"):
        host.rx.relax(lambda: None, temperature="cold")
    with pytest.raises(TypeError, match="positive number, an array or a schedule"):
        host.rx.relax(lambda: None, temperature={"z": 0.5})
    with pytest.raises(TypeError, match="config must be a dict"):
        host.rx.relax(lambda: None, temperature=0.5, config=3)
    with pytest.raises(TypeError, match=r"class or None, got 3 for 'z'"):
        host.rx.relax(lambda: None, temperature=0.5, config={"z": 3})
    made = host.rx.HardConcrete(0.5, probs=0.3)
    with pytest.raises(TypeError, match=r"class or None, got .*HardConcrete.* for 'z'"):
        host.rx.relax(lambda: None, temperature=0.5, config={"z": made})
    with pytest.raises(TypeError, match=r"InvertibleGaussian cannot be made .* needs loc, scale"):
        stands(
            host,
            host.rx.OneHotCategorical(logits=host.array([0.0, 1.0])),
            config={"z": host.rx.InvertibleGaussian},
        )
    with pytest.raises(TypeError, match="none of this package's distributions"):
        stands(host, host.dist.Bernoulli(host.array(0.3)), config={"z": host.dist.Normal})


@both
def test_hard_without_harden(host):
    def foreign(d, t):
        return host.dist.Normal(host.array(0.0), 1.0)

    with pytest.raises(ValueError, match="Normal at the site 'z' has no method harden"):
        stands(host, host.dist.Bernoulli(host.array(0.3)), config={"z": foreign}, hard=True)


def test_traced_counts_need_a_size():
    import jax

    def density(rate):
        site = rn.relax(
            lambda: numpyro.sample("z", numpyro.distributions.Poisson(rate)), temperature=0.5
        )
        return numpyro.handlers.seed(site, 0)()

    with pytest.raises(ValueError, match=r"at the site 'z' \(Poisson\).*size"):
        jax.jit(density)(2.0)


def test_pyro_keeps_a_tensor_temperature_attached():
    t = torch.tensor(0.5, requires_grad=True)
    model = one_site_of_pyro()
    trace = pyro.poutine.trace(rp.relax(model, temperature=t)).get_trace()
    trace.nodes["z"]["value"].backward()
    assert t.grad.item() != 0.0


def one_site_of_pyro():
    return lambda: pyro.sample("z", pyro.distributions.Bernoulli(0.4))
