"""What stands at a site: the registry, config, hard values, counts, and every refusal."""

from __future__ import annotations

import numpy as np
import pyro
import pytest
import torch

import relaxppl.pyro as rp
from tests.adapter import both
from tests.common.relax.programs import law, stands


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
    np.testing.assert_allclose(host.numpy(host.site_log_prob(site)), host.numpy(one), rtol=1e-12)


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


def test_pyro_keeps_a_tensor_temperature_attached():
    t = torch.tensor(0.5, requires_grad=True)
    model = one_site_of_pyro()
    trace = pyro.poutine.trace(rp.relax(model, temperature=t)).get_trace()
    trace.nodes["z"]["value"].backward()
    assert t.grad.item() != 0.0


def one_site_of_pyro():
    return lambda: pyro.sample("z", pyro.distributions.Bernoulli(0.4))


@both
def test_the_laws_of_several_values_have_relaxations(host):
    logits = np.array([[0.1, 2.0, -1.0]])
    subset = host.rx.ConditionalBernoulli(2, logits=host.array(logits))
    site = stands(host, subset)
    assert law(site) == "SubsetStraightThrough"
    assert (host.numpy(site["value"]).sum(-1) == 2).all()
    np.testing.assert_allclose(host.numpy(site["fn"].mean), host.numpy(subset.mean))
    # What a class needs beside logits and a temperature comes from the site.
    site = stands(host, subset, config={"z": host.rx.SubsetStraightThrough})
    assert (host.numpy(site["value"]).sum(-1) == 2).all()
    chain = host.rx.MarkovChain(host.array(logits[0]), host.array(np.zeros((3, 3, 3))))
    for config in None, {"z": host.rx.RelaxedMarkovChain}:
        site = stands(host, chain, config=config)
        assert (law(site), tuple(site["value"].shape)) == ("RelaxedMarkovChain", (4, 3))


@both
def test_surrogates_of_bits_and_classes_take_a_site(host):
    one_hot = host.rx.OneHotCategorical(logits=host.array([0.1, 2.0, -1.0]))
    bit = host.dist.Bernoulli(host.array(0.3))
    for discrete, name in (
        (one_hot, "ReinMaxOneHotCategorical"),
        (one_hot, "GumbelRaoOneHotCategorical"),
        (bit, "ReinMaxBernoulli"),
        (bit, "GumbelRaoBernoulli"),
    ):
        site = stands(host, discrete, config={"z": getattr(host.rx, name)})
        assert law(site) == name
        assert host.numpy(site["fn"].temperature) == 0.5


@both
def test_orderings_are_refused_with_what_would_do(host):
    ordering = host.rx.PlackettLuce(host.array([0.1, 2.0, -1.0]))
    with pytest.raises(
        ValueError, match=r"'z' is a PlackettLuce: .*no ordering.*RLOO_ELBO.*GumbelS"
    ):
        stands(host, ordering)
    assert law(stands(host, ordering, config={"z": None})) == "PlackettLuce"
