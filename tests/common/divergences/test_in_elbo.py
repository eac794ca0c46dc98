"""The rules where they are used: in the hosts' mean-field ELBOs, and when they do not apply."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pyro
import pytest
import scipy.stats
import torch

import relaxppl.numpyro as rn
import relaxppl.pyro as rp
from tests.adapter import both
from tests.common.divergences.pairs import build

LOGITS = np.array([[0.3, -1.0, 2.0], [1.1, 0.2, -0.7]])
PRIOR = np.array([0.1, 0.4, -0.2])

SITES = {
    "RelaxedBernoulli": {"temperature": 0.4},
    "LogitRelaxedBernoulli": {"temperature": 0.4},
    "RebarRelaxation": {"temperature": 0.4},
    "StraightThroughBernoulli": {},
    "RelaxedBernoulliStraightThrough": {"temperature": 0.4},
    "RelaxedOneHotCategorical": {"temperature": 0.4},
    "ExpRelaxedOneHotCategorical": {"temperature": 0.4},
    "RelaxedOneHotCategoricalStraightThrough": {"temperature": 0.4},
    "DecoupledStraightThroughGumbelSoftmax": {
        "temperature_forward": 1.0,
        "temperature_backward": 0.5,
    },
    "InvertibleGaussian": {"temperature": 0.4, "scale": np.array(0.7), "delta": 0.5},
    "LogisticNormalSoftmax": {"scale": np.array(0.7)},
}


def pair(host, name, **changed):
    """A guide's and a prior's distribution, (2,) batches of three numbers."""
    given = dict(SITES[name])
    if "scale" in given:
        given["scale"] = np.full(3, 0.7)
    location = "loc" if "scale" in given else "logits"
    guide = build(host, name, given | {location: LOGITS})
    prior = build(host, name, given | changed | {location: PRIOR})
    event = 1 if not guide.event_shape else 0
    return (d.to_event(event) if event else d for d in (guide, prior))


def losses(host, guide_fn, model_fn, seeds=6):
    """The mean-field loss of one site without data, which is its KL, at several seeds."""
    if host.name == "numpyro":
        elbo = numpyro.infer.TraceMeanField_ELBO()
        loss = jax.jit(lambda key: elbo.loss(key, {}, model_fn, guide_fn))
        return np.array([float(loss(jax.random.key(seed))) for seed in range(seeds)])
    values = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        values.append(float(pyro.infer.TraceMeanField_ELBO().loss(model_fn, guide_fn)))
    return np.array(values)


def program(host, distribution):
    """One site in a plate of two, subsampled from ten."""
    primitives = numpyro if host.name == "numpyro" else pyro

    def run():
        with primitives.plate("data", 10, subsample_size=2):
            primitives.sample("z", distribution)

    return run


@both
@pytest.mark.parametrize("name", SITES)
def test_the_kl_part_has_no_variance(host, name):
    guide, prior = pair(host, name)
    found = losses(host, program(host, guide), program(host, prior))
    kl = float(host.rx.kl_divergence(*pair(host, name)).sum())
    assert np.ptp(found) == 0.0
    assert found[0] == pytest.approx(5.0 * kl, rel=1e-12)


@both
@pytest.mark.parametrize("name", ["RelaxedBernoulli", "RelaxedOneHotCategorical"])
def test_unequal_temperatures_are_sampled(host, name):
    guide, prior = pair(host, name, temperature=0.5)
    with pytest.raises(NotImplementedError, match=r"equal temperatures only"):
        host.rx.kl_divergence(*pair(host, name, temperature=0.5))
    found = losses(host, program(host, guide), program(host, prior), seeds=400)
    assert np.ptp(found) > 0.1
    # The same mean as that of the log ratio of the densities at independent draws.
    guide, prior = pair(host, name, temperature=0.5)
    if host.name == "numpyro":
        value = guide.sample(jax.random.key(77), (4000,))
    else:
        value = guide.sample((4000,))
    ratio = 5.0 * host.numpy((guide.log_prob(value) - prior.log_prob(value)).sum(-1))
    error = np.hypot(found.std() / 20.0, ratio.std() / 4000**0.5)
    assert abs(found.mean() - ratio.mean()) < 4 * error


@both
def test_invertible_gaussian_is_exact_at_unequal_temperatures(host):
    guide, prior = pair(host, "InvertibleGaussian", temperature=1.7, delta=2.0)
    found = losses(host, program(host, guide), program(host, prior))
    assert np.ptp(found) == 0.0


def test_numpyro_trace_enum_takes_the_rules():
    """With infer={"kl": "analytic"} in the guide, whose infer dict the model's site is replayed by.

    The third site is enumerated; its exact bound is the same at every seed.
    """

    def model():
        with numpyro.plate("two", 2):
            numpyro.sample("z", numpyro.distributions.Bernoulli(logits=PRIOR[:2]))
            numpyro.sample("k", rn.OneHotCategorical(logits=PRIOR))
            c = numpyro.sample(
                "c", numpyro.distributions.Bernoulli(0.3), infer={"enumerate": "parallel"}
            )
            numpyro.sample("x", numpyro.distributions.Normal(c, 1.0), obs=jnp.array([0.2, 0.9]))

    def guide(infer):
        with numpyro.plate("two", 2):
            numpyro.sample("z", numpyro.distributions.Bernoulli(logits=LOGITS[:, 0]), infer=infer)
            numpyro.sample("k", rn.OneHotCategorical(logits=LOGITS), infer=infer)

    relaxed = rn.relax(model, temperature=0.4, config={"c": None})
    elbo = numpyro.infer.TraceEnum_ELBO(max_plate_nesting=1)

    def losses_with(infer):
        relaxed_guide = rn.relax(lambda: guide(infer), temperature=0.4)
        loss = jax.jit(lambda key: elbo.loss(key, {}, relaxed, relaxed_guide))
        return [float(loss(jax.random.key(seed))) for seed in range(4)]

    assert np.ptp(losses_with({})) > 0.1
    found = losses_with({"kl": "analytic"})
    of = rn.RelaxedBernoulli, rn.RelaxedOneHotCategorical
    kl = rn.kl_divergence(of[0](0.4, logits=LOGITS[:, 0]), of[0](0.4, logits=PRIOR[:2])).sum()
    kl += rn.kl_divergence(of[1](0.4, logits=LOGITS), of[1](0.4, logits=PRIOR)).sum()
    x = np.array([0.2, 0.9])
    log_x = np.log(0.3 * scipy.stats.norm.pdf(x, 1.0) + 0.7 * scipy.stats.norm.pdf(x, 0.0)).sum()
    np.testing.assert_allclose(found, float(kl) - log_x, rtol=1e-12)


@both
def test_an_annealed_pair_has_no_variance_either(host):
    """A schedule of the optimiser's step gives model and guide one temperature."""
    lib = numpyro if host.name == "numpyro" else pyro

    def program(logits):
        with lib.plate("two", 2):
            lib.sample("z", host.dist.Bernoulli(logits=logits))

    def guide():
        program(lib.param("logits", host.array(LOGITS[:, 0])))

    schedule = host.rx.LinearSchedule(1.0, 0.5, 5)
    programs = (lambda: program(host.array(PRIOR[:2])), guide)
    pair = [host.rx.relax(f, temperature=schedule) for f in programs]
    runs = []
    if host.name == "numpyro":
        elbo = numpyro.infer.TraceMeanField_ELBO()
        svi = numpyro.infer.SVI(*pair, host.rx.count_steps(numpyro.optim.Adam(0.1)), elbo)
        update = jax.jit(svi.update)
    for seed in range(2):
        if host.name == "numpyro":
            state, losses = svi.init(jax.random.key(seed)), []
            for _ in range(4):
                state, loss = update(state)
                losses.append(float(loss))
        else:
            pyro.clear_param_store()
            torch.manual_seed(seed)
            optim = host.rx.count_steps(pyro.optim.Adam({"lr": 0.1}))
            svi = pyro.infer.SVI(*pair, optim, pyro.infer.TraceMeanField_ELBO())
            losses = [svi.step() for _ in range(4)]
        runs.append(losses)
    np.testing.assert_array_equal(runs[0], runs[1])
    assert np.all(np.diff(runs[0]) < 0)


@both
def test_through_expand_to_event_and_mask(host):
    t, mask = host.array(0.6), np.array([True, False])
    p = host.rx.RelaxedBernoulli(t, logits=host.array([0.5]))
    q = host.rx.RelaxedBernoulli(t, logits=host.array([-0.5]))
    one = host.numpy(host.rx.kl_divergence(p, q))[0]
    boolean = jnp.asarray(mask) if host.name == "numpyro" else torch.tensor(mask)
    wrapped = (d.expand([2, 3]).to_event(1).mask(boolean) for d in (p, q))
    kl = host.numpy(host.rx.kl_divergence(*wrapped))
    np.testing.assert_allclose(kl, [3 * one, 0.0], rtol=1e-12)


@both
def test_a_subclass_keeps_its_rule(host):
    class Mine(host.rx.RelaxedBernoulli):
        pass

    p, q = Mine(0.5, logits=host.array(1.0)), Mine(0.5, logits=host.array(0.0))
    assert float(host.rx.kl_divergence(p, q)) == pytest.approx(1 / np.tanh(0.5) - 2)


def test_numpyro_knows_one_traced_temperature_from_two():
    """Under jit only the same array is known to be equal; a schedule gives it to both programs."""

    def loss(elbo, temperatures):
        guide_t, model_t = temperatures

        def guide():
            numpyro.sample("z", rn.RelaxedBernoulli(guide_t(), logits=LOGITS[0]).to_event(1))

        def model():
            numpyro.sample("z", rn.RelaxedBernoulli(model_t(), logits=PRIOR).to_event(1))

        return lambda key: elbo.loss(key, {}, model, guide)

    schedule = rn.LinearSchedule(1.0, 0.5, 10)
    ways = {
        "same": lambda t: (lambda: t, lambda: t),
        "schedule": lambda t: (lambda: schedule(t), lambda: schedule(t)),
        "equal schedules": lambda t: (
            lambda: rn.CosineSchedule(1.0, 0.5, 10)(t),
            lambda: rn.CosineSchedule(1.0, 0.5, 10)(t),
        ),
        "constants": lambda t: (lambda: 0.5, lambda: 0.5),
        "two arrays": lambda t: (lambda: t + 0.0, lambda: t + 0.0),
    }
    for particles in (1, 3):
        elbo = numpyro.infer.TraceMeanField_ELBO(num_particles=particles)
        for name, way in ways.items():
            run = jax.jit(lambda key, t, elbo=elbo, way=way: loss(elbo, way(t))(key))
            found = [float(run(jax.random.key(seed), jnp.asarray(2.0))) for seed in range(4)]
            assert (np.ptp(found) == 0.0) == (name != "two arrays"), name


def test_a_learned_temperature_keeps_its_gradient():
    """The guide's temperature equals the prior's in value, not as a function of the parameters."""

    def of_numpyro(t):
        p = rn.RelaxedBernoulli(t, logits=1.0)
        return rn.kl_divergence(p, rn.RelaxedBernoulli(0.5, logits=0.0))

    with pytest.raises(NotImplementedError):
        jax.grad(of_numpyro)(0.5)
    learned = torch.tensor(0.5, requires_grad=True)
    p = rp.RelaxedBernoulli(learned, logits=torch.tensor([1.0, 2.0]))
    fixed = rp.RelaxedBernoulli(0.5, logits=torch.zeros(2))
    with pytest.raises(NotImplementedError):
        rp.kl_divergence(p, fixed)
    shared = rp.RelaxedBernoulli(learned, logits=torch.zeros(2)).expand([3, 2])
    assert rp.kl_divergence(p, shared).shape == (3, 2)


def test_soft_numbers_have_no_rule():
    for rx, array in ((rn, jnp.asarray), (rp, torch.tensor)):
        soft = rx.GeneralizedGumbelSoftmax(array([0.0, 1.0]), 0.5, logits=array([0.0, 1.0]))
        with pytest.raises(NotImplementedError, match="no tractable density"):
            rx.kl_divergence(soft, soft)
        hard = rx.GeneralizedGumbelSoftmax(soft.values, 0.5, logits=array([0.0, 1.0]), hard=True)
        for pair in ((hard, soft), (soft, hard)):
            with pytest.raises(NotImplementedError, match="no tractable density"):
                rx.kl_divergence(*pair)
        twice = rx.GeneralizedGumbelSoftmax(
            array([1.0, 1.0]), 0.5, logits=array([0.0, 1.0]), hard=True
        )
        with pytest.raises(NotImplementedError, match="repeat"):
            rx.kl_divergence(twice, twice)


def test_values_that_are_traced_may_repeat():
    def kl(values):
        d = rn.GeneralizedGumbelSoftmax(values, 0.5, logits=jnp.array([0.0, 1.0]), hard=True)
        return rn.kl_divergence(d, d)

    assert float(kl(jnp.array([0.0, 1.0]))) == 0.0
    with pytest.raises(NotImplementedError, match="repeat"):
        jax.jit(kl)(jnp.array([0.0, 1.0]))
