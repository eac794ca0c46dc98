"""relax among the hosts' other handlers, inside and outside."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pyro
import pytest
import torch
from numpyro.contrib.control_flow import scan

import relaxppl.numpyro as rn
import relaxppl.pyro as rp
from tests.adapter import both
from tests.common.relax.programs import law


def chain(host):
    """Two latent sites, the second given the first, and one observed."""

    def model():
        a = host.sample("a", host.dist.Bernoulli(host.array(0.3)))
        b = host.sample("b", host.dist.Bernoulli(logits=2.0 * a - 1.0))
        host.sample("x", host.dist.Normal(a + b, 1.0), obs=host.array(0.7))
        return a, b

    return model


@both
def test_condition_inside_and_outside(host):
    relax, one = host.rx.relax, host.array(1.0)
    for program in (
        relax(host.condition(chain(host), {"a": one}), temperature=0.5),
        host.condition(relax(chain(host), temperature=0.5), {"a": one}),
    ):
        trace = host.trace(program)
        assert law(trace["a"]).startswith("Bernoulli")
        assert trace["a"]["is_observed"]
        assert host.numpy(host.site_log_prob(trace["a"])) == pytest.approx(np.log(0.3))
        assert law(trace["b"]) == "RelaxedBernoulli"


@both
def test_do_inside_and_outside(host):
    relax, one = host.rx.relax, host.array(1.0)
    for program in (
        relax(host.do(chain(host), {"a": one}), temperature=0.5),
        host.do(relax(chain(host), temperature=0.5), {"a": one}),
    ):
        trace = host.trace(program)
        # The fresh site is relaxed like any other; its value does not reach b.
        assert law(trace["a"]) == "RelaxedBernoulli"
        assert not trace["a"]["is_observed"]
        assert host.numpy(trace["b"]["fn"].logits) == pytest.approx(1.0)


@both
def test_substitute_and_replay(host):
    value = host.array(0.25)
    program = host.rx.relax(chain(host), temperature=0.5)
    if host.name == "numpyro":
        substituted = host.substitute(program, {"a": value})
    else:
        first = pyro.poutine.trace(program).get_trace()
        first.nodes["a"]["value"] = value
        del first.nodes["b"]
        substituted = pyro.poutine.replay(program, trace=first)
    trace = host.trace(substituted)
    assert host.numpy(trace["a"]["value"]) == 0.25
    assert host.numpy(trace["b"]["fn"].logits) == pytest.approx(-0.5)
    assert not trace["a"]["is_observed"]


@both
def test_block_hides_a_relaxed_site(host):
    blocked = host.handlers.block(host.rx.relax(chain(host), temperature=0.5), hide=["a"])
    trace = host.trace(blocked)
    assert "a" not in trace
    assert law(trace["b"]) == "RelaxedBernoulli"


@both
def test_scale_and_mask_inside_and_outside(host):
    relax, model = host.rx.relax, chain(host)
    scaled = host.handlers.scale(model, scale=3.0)
    for program in (
        relax(scaled, temperature=0.5),
        host.handlers.scale(relax(model, temperature=0.5), scale=3.0),
    ):
        trace = host.trace(program)
        assert float(trace["a"]["scale"]) == 3.0
        assert law(trace["a"]) == "RelaxedBernoulli"

    def masked():
        with host.mask([True, False]), host.plate("two", 2):
            return host.sample("z", host.dist.Bernoulli(host.array(0.3)))

    def masked_outside():
        with host.mask([True, False]), host.rx.relax(temperature=0.5), host.plate("two", 2):
            return host.sample("z", host.dist.Bernoulli(host.array(0.3)))

    for program in (relax(masked, temperature=0.5), masked_outside):
        trace = host.trace(program)
        log_prob = host.numpy(host.site_log_prob(trace["z"]))
        assert log_prob[0] != 0.0
        assert log_prob[1] == 0.0


@both
def test_a_plate_inside_and_outside(host):
    def program():
        with host.plate("three", 3), host.rx.relax(temperature=0.5):
            host.sample("z", host.dist.Bernoulli(host.array(0.3)))

    site = host.trace(program)["z"]
    assert law(site) == "RelaxedBernoulli"
    assert tuple(site["fn"].batch_shape) == tuple(site["value"].shape) == (3,)


@both
def test_reparam_strategy_beside_another(host):
    def model():
        m = host.sample("m", host.dist.Normal(host.array(1.0), 2.0))
        host.sample("z", host.dist.Bernoulli(logits=m).expand([2]).to_event(1))
        return host.sample("k", host.rx.OneHotCategorical(logits=host.array(np.arange(3.0))))

    loc_scale = (
        numpyro.infer.reparam.LocScaleReparam(0.0)
        if host.name == "numpyro"
        else pyro.infer.reparam.LocScaleReparam(0.0)
    )
    config = {
        "m": loc_scale,
        "z": host.rx.RelaxReparam(0.5),
        "k": host.rx.RelaxReparam(0.5, host.rx.RelaxedOneHotCategoricalStraightThrough),
    }
    trace = host.trace(host.handlers.reparam(model, config=config))
    assert "m_decentered" in trace
    assert law(trace["z"]) == "RelaxedBernoulli"
    assert tuple(trace["z"]["fn"].event_shape) == (2,)
    assert law(trace["k"]) == "RelaxedOneHotCategoricalStraightThrough"
    observed = host.condition(model, {"z": host.array([0.0, 1.0])})
    trace = host.trace(host.handlers.reparam(observed, config=config))
    assert law(trace["z"]).startswith("Bernoulli")
    with pytest.raises(ValueError, match="'m' is a Poisson"):
        host.trace(
            host.handlers.reparam(
                lambda: host.sample("m", host.dist.Poisson(host.array(2.0))),
                config={"m": host.rx.RelaxReparam(0.5, lambda d, t: _unregistered(host))},
            )
        )


def _unregistered(host):
    raise ValueError("'m' is a Poisson")


@both
def test_relax_inside_reparam_and_outside(host):
    def model():
        m = host.sample("m", host.dist.Normal(host.array(1.0), 2.0))
        return host.sample("z", host.dist.Bernoulli(logits=m))

    strategies = (numpyro if host.name == "numpyro" else pyro).infer.reparam
    config = {"m": strategies.LocScaleReparam(0.0)}
    for program in (
        host.rx.relax(host.handlers.reparam(model, config=config), temperature=0.5),
        host.handlers.reparam(host.rx.relax(model, temperature=0.5), config=config),
    ):
        trace = host.trace(program)
        assert "m_decentered" in trace
        assert law(trace["z"]) == "RelaxedBernoulli"


@both
def test_uncondition_outside(host):
    handlers = numpyro.handlers if host.name == "numpyro" else pyro.poutine
    inner = host.condition(chain(host), {"a": host.array(1.0)})
    trace = host.trace(host.rx.relax(handlers.uncondition(inner), temperature=0.5))
    assert law(trace["a"]) == "RelaxedBernoulli"


def test_numpyro_seed_inside():
    program = rn.relax(numpyro.handlers.seed(lambda: _two_sites(), 0), temperature=0.5)
    trace = numpyro.handlers.trace(program).get_trace()
    assert 0 < trace["a"]["value"] < 1


def _two_sites():
    numpyro.sample("a", numpyro.distributions.Bernoulli(0.4))


def test_numpyro_scope_between_relax_and_condition():
    def scoped():
        with numpyro.handlers.scope(prefix="in"), rn.relax(temperature=0.5):
            numpyro.sample("a", numpyro.distributions.Bernoulli(0.4))

    conditioned = numpyro.handlers.condition(scoped, data={"in/a": 1})
    assert law(_trace(conditioned)["in/a"]).startswith("Bernoulli")
    assert law(_trace(scoped)["in/a"]) == "RelaxedBernoulli"


def _trace(fn, *args):
    return numpyro.handlers.trace(numpyro.handlers.seed(fn, 0)).get_trace(*args)


def test_numpyro_scan_with_its_conditioned_site():
    def model():
        def step(carry, _):
            z = numpyro.sample("z", numpyro.distributions.Bernoulli(logits=carry))
            w = numpyro.sample("w", numpyro.distributions.Bernoulli(0.5))
            numpyro.sample("x", numpyro.distributions.Normal(z, 1.0), obs=0.3)
            return carry + z - 0.5, z + w

        return scan(step, 0.0, None, length=4)[1]

    relaxed = rn.relax(model, temperature=rn.ConstantSchedule(0.5), config={"w": None})
    trace = _trace(relaxed)
    assert law(trace["z"]) == "RelaxedBernoulli"
    assert trace["z"]["value"].shape == (4,)
    assert np.all((np.asarray(trace["z"]["value"]) > 0) & (np.asarray(trace["z"]["value"]) < 1))
    assert law(trace["w"]).startswith("Bernoulli")
    given = jnp.array([1.0, 0.0, 1.0, 1.0])
    observed = _trace(numpyro.handlers.condition(relaxed, data={"z": given}))
    assert law(observed["z"]).startswith("Bernoulli")
    np.testing.assert_array_equal(observed["z"]["value"], given)

    def by_hand():
        def step(carry, _):
            z = numpyro.sample("z", rn.RelaxedBernoulli(0.5, logits=carry))
            w = numpyro.sample("w", numpyro.distributions.Bernoulli(0.5))
            numpyro.sample("x", numpyro.distributions.Normal(z, 1.0), obs=0.3)
            return carry + z - 0.5, z + w

        return scan(step, 0.0, None, length=4)[1]

    wanted = _trace(by_hand)
    np.testing.assert_allclose(trace["z"]["value"], wanted["z"]["value"], rtol=1e-12)
    log_prob = trace["z"]["fn"].log_prob(trace["z"]["value"])
    np.testing.assert_allclose(
        log_prob, wanted["z"]["fn"].log_prob(wanted["z"]["value"]), rtol=1e-12
    )


def test_numpyro_cond():
    def model(flag):
        def yes(_):
            return numpyro.sample("z", numpyro.distributions.Bernoulli(0.3)) * 1.0

        def no(_):
            return numpyro.sample("z", numpyro.distributions.Bernoulli(0.6)) * 1.0

        return numpyro.contrib.control_flow.cond(flag, yes, no, None)

    for flag in (True, False):
        trace = _trace(rn.relax(model, temperature=0.5), jnp.asarray(flag))
        assert 0 < float(trace["z"]["value"]) < 1


def test_numpyro_under_jit_and_vmap():
    def density(key, t):
        program = rn.relax(_two_sites, temperature=t)
        seeded = numpyro.handlers.seed(program, key)
        site = numpyro.handlers.trace(seeded).get_trace()["a"]
        return site["fn"].log_prob(site["value"]), site["value"]

    keys = jax.random.split(jax.random.key(0), 3)
    found, values = jax.vmap(jax.jit(density), in_axes=(0, None))(keys, 0.7)
    wanted = rn.RelaxedBernoulli(0.7, probs=0.4).log_prob(values)
    np.testing.assert_allclose(found, wanted, rtol=1e-10)
    assert len(np.unique(values)) == 3


@both
def test_a_relaxed_simplex_has_a_bijection(host):
    """Relaxed sites are continuous: the hosts' autoguides and MCMC ask how to move on them."""
    relaxed = host.rx.relax(chain_of_classes(host), temperature=0.5)
    support = host.trace(relaxed)["k"]["fn"].support
    transforms = host.dist.transforms if host.name == "numpyro" else torch.distributions
    value = host.numpy(transforms.biject_to(support)(host.array([0.3, -2.0])))
    assert value.shape == (3,)
    assert np.all(value > 0)
    assert value.sum() == pytest.approx(1.0, rel=1e-12)


def chain_of_classes(host):
    return lambda: host.sample("k", host.rx.OneHotCategorical(logits=host.array(np.zeros(3))))


def test_pyro_autoguide_of_a_relaxed_model():
    def model():
        k = pyro.sample("k", rp.OneHotCategorical(logits=torch.zeros(3)))
        pyro.sample("x", pyro.distributions.Normal(k[..., 0], 0.3), obs=torch.tensor(1.0))

    pyro.clear_param_store()
    relaxed = rp.relax(model, temperature=0.5)
    guide = pyro.infer.autoguide.AutoNormal(relaxed)
    elbo = pyro.infer.Trace_ELBO(8, vectorize_particles=True, max_plate_nesting=0)
    svi = pyro.infer.SVI(relaxed, guide, pyro.optim.Adam({"lr": 0.05}), elbo)
    for _ in range(60):
        svi.step()
    assert guide.median()["k"][0] > 0.5


def test_pyro_markov_loop():
    def model():
        z = torch.tensor(0.0)
        for i in pyro.markov(range(3)):
            z = pyro.sample(f"z_{i}", pyro.distributions.Bernoulli(logits=z))
        return z

    trace = pyro.poutine.trace(rp.relax(model, temperature=0.5)).get_trace()
    assert all(0 < trace.nodes[f"z_{i}"]["value"] < 1 for i in range(3))


def test_pyro_module_guide():
    class Guide(pyro.nn.PyroModule):
        def __init__(self):
            super().__init__()
            self.logits = pyro.nn.PyroParam(torch.tensor(0.2))

        def forward(self):
            return pyro.sample("z", pyro.distributions.Bernoulli(logits=self.logits))

    def model():
        z = pyro.sample("z", pyro.distributions.Bernoulli(0.5))
        pyro.sample("x", pyro.distributions.Normal(z, 0.3), obs=torch.tensor(1.0))

    pyro.clear_param_store()
    svi = pyro.infer.SVI(
        rp.relax(model, temperature=0.5),
        rp.relax(Guide(), temperature=0.5),
        pyro.optim.Adam({"lr": 0.05}),
        pyro.infer.Trace_ELBO(),
    )
    for _ in range(20):
        svi.step()
    assert pyro.param("logits").item() > 0.3
