"""From straight-through to REBAR: what the weight of the unbiased gradient does, on both hosts."""

from __future__ import annotations

import itertools
import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pyro
import pyro.infer
import pytest
import torch

import relaxppl.numpyro as rn
import relaxppl.pyro as rp
from relaxppl.estimators import REBAR, RELAX, local_gradient
from tests.estimators.distance import distance
from tests.hosts.elbo import numpyro_cases, pyro_cases
from tests.hosts.elbo.numpyro_case import bits, mass, normal
from tests.hosts.elbo.numpyro_cases import TWO_LEVELS, two_loc, two_logits

RAMP = rn.LinearSchedule(0.0, 1.0, 2)
NAME = "relaxppl_step"


def slope(p, b):
    """ReinMax for one Bernoulli: 2 q (1 - q) - p (1 - p) / 2 at q midway between p and b."""
    return (p + b) * (2 - p - b) / 2 - p * (1 - p) / 2


def moving(logits, b):
    """b, with that slope in the logits."""
    p = jax.lax.stop_gradient(jax.nn.sigmoid(logits))
    return b + slope(p, b) * (logits - jax.lax.stop_gradient(logits))


def straight_through(params):
    """The mean straight-through gradient of minus the bound on TWO_LEVELS, by enumeration."""

    def log_joint(p, a, b):
        log_p = mass(p["prior"], a).sum() + mass(0.5 * a[0] - 0.2, b).sum()
        return log_p + normal(1.1, two_loc(a, b), 0.5)

    def one(p, a, b):
        fixed = jax.lax.stop_gradient(p)
        law = two_logits(a, fixed["weight"])
        xa = moving(p["qa"], a)
        # What lies below follows the value above it, by its logits and by its own value.
        below = two_logits(xa, fixed["weight"])
        first = log_joint(fixed, xa, moving(below, b)) - mass(below, moving(below, b)).sum()
        first = first - mass(fixed["qa"], xa).sum()
        xb = moving(two_logits(a, p["weight"]), b)
        second = log_joint(fixed, a, xb) - mass(law, xb).sum()
        return first + second + log_joint(p, a, b)

    total = jax.tree.map(jnp.zeros_like, params)
    for a, b in itertools.product(bits(2), bits(2)):
        log_q = mass(params["qa"], a).sum() + mass(two_logits(a, params["weight"]), b).sum()
        found = jax.grad(one)(params, a, b)
        q = jnp.exp(log_q)
        total = jax.tree.map(lambda t, g, q=q: t - q * g, total, found)
    return total


@pytest.fixture(scope="module")
def wanted():
    """The mean gradients at w = 0, a half and 1."""
    params = TWO_LEVELS.values()
    start, end = jax.jit(straight_through)(params), TWO_LEVELS.gradient()[1]
    assert max(float(jnp.max(jnp.abs(start[n] - end[n]))) for n in start) > 0.1
    return [jax.tree.map(lambda s, e, w=w: (1 - w) * s + w * e, start, end) for w in (0, 0.5, 1)]


def check(samples, wanted):
    for name, truth in wanted.items():
        x = np.asarray(samples[name])
        gap = x - np.asarray(truth)
        assert distance(gap.mean(0), gap.var(0), len(x), truth) < 4.5


def test_numpyro_the_mean_moves_from_straight_through_to_the_exact_gradient(wanted):
    params, model, guide = TWO_LEVELS.values(), TWO_LEVELS.model, TWO_LEVELS.guide
    keys = jax.random.split(jax.random.key(0), 20_000)

    def gradients(elbo, own):
        def loss(params, key):
            return elbo.loss(key, {**params, **own}, model, guide)

        return jax.lax.map(partial(jax.grad(loss), params), keys, batch_size=len(keys))

    elbo = rn.REBAR_ELBO(debias=RAMP, learn=False)
    ramp = jax.jit(lambda step: gradients(elbo, {NAME: step}))
    found = [ramp(jnp.asarray(step)) for step in (0.0, 1.0, 7.0)]
    for samples, truth in zip(found, wanted, strict=True):
        check(samples, truth)
    plain = jax.jit(lambda: gradients(rn.REBAR_ELBO(learn=False), {}))()
    for name, samples in plain.items():
        np.testing.assert_allclose(found[2][name], samples, rtol=1e-12)


def test_pyro_the_mean_moves_from_straight_through_to_the_exact_gradient(wanted):
    programs = pyro_cases.TWO_LEVELS.build(20_000)

    def gradients(step=None, **options):
        pyro.clear_param_store()
        pyro.set_rng_seed(1)
        if step is not None:
            pyro.param(NAME, torch.tensor(step))
        rp.REBAR_ELBO(learn=False, **options).loss_and_grads(*programs)
        store = pyro.get_param_store().named_parameters()
        return {n: p.grad.flatten(1, -2) for n, p in store if n != NAME}

    found = [gradients(step, debias=RAMP) for step in (0.0, 1.0, 7.0)]
    for samples, truth in zip(found, wanted, strict=True):
        check({n: x[:, 0] for n, x in samples.items()}, truth)
    for name, samples in gradients().items():
        assert torch.equal(found[2][name], samples)


def test_straight_through_is_exact_for_costs_of_the_second_degree():
    logits = jnp.array([0.3, -1.0, 0.8])
    matrix = jnp.array([[1.0, 2.0, -1.0], [0.5, -2.0, 0.3], [0.0, 1.5, 3.0]])

    def mean(x):
        return jax.nn.softmax(x) @ (jnp.diag(matrix) + jnp.eye(3)[0])

    def one(logits, draw):
        made = local_gradient(
            lambda x: x @ matrix @ x + x[0],
            logits,
            {"draw": 50.0 * draw, "conditional": jnp.zeros(3)},
            estimator=REBAR(debias=0.0),
            law="OneHotCategorical",
        )
        return made.gradient, made.control

    @jax.jit
    def run(logits):
        made, control = jax.vmap(one, (None, 0))(logits, jnp.eye(3))
        return jax.nn.softmax(logits) @ made, control, jax.grad(mean)(logits)

    found, control, exact = run(logits)
    assert not control.any()
    np.testing.assert_allclose(found, exact, atol=1e-12)


def test_local_gradient_is_linear_in_eta_at_every_weight():
    logits, noise = (
        jnp.array([0.3, -1.0]),
        {"draw": jnp.ones(2), "conditional": jnp.array([0.2, 1])},
    )

    def at(eta, debias):
        estimator = REBAR(debias=debias)
        cost = lambda x: jnp.sin(x @ jnp.array([1.0, 2.0]))  # noqa: E731
        return local_gradient(cost, logits, noise, estimator=estimator, eta=eta)

    whole, half, none = jax.jit(lambda: [at(0.7, debias) for debias in (1.0, 0.5, 0.0)])()
    np.testing.assert_allclose(half.gradient, (whole.gradient + none.gradient) / 2)
    np.testing.assert_allclose(half.control, whole.control / 2)


def test_refused_weights():
    for kind in (REBAR, RELAX):
        for wrong in (1.5, -0.1, "ramp", rn.LinearSchedule(0.0, 2.0, 9)):
            with pytest.raises(
                ValueError, match=r"debias must be a number or a schedule in \[0, 1\], or 'auto'"
            ):
                kind(debias=wrong)
    with pytest.raises(ValueError, match="debias must be 1 where the network is the only"):
        RELAX(control_variate="network", debias=0.5)
    noise = {"draw": jnp.ones(2), "conditional": jnp.ones(2)}
    with pytest.raises(ValueError, match="a schedule follows an optimiser's steps"):
        local_gradient(jnp.sum, jnp.zeros(2), noise, estimator=REBAR(debias=RAMP))
    with pytest.raises(ValueError, match="a weight is learned in a program only"):
        local_gradient(jnp.sum, jnp.zeros(2), noise, estimator=REBAR(debias="auto"))


def test_numpyro_the_ramp_counts_the_steps_of_svi():
    elbo = rn.RELAX_ELBO(debias=RAMP, hidden=2)
    model, guide = numpyro_cases.VECTOR.model, elbo.prepare(numpyro_cases.VECTOR.guide)

    def trained(optimiser):
        svi = numpyro.infer.SVI(model, guide, optimiser, elbo)
        return svi.run(jax.random.key(0), 3, progress_bar=False)

    assert trained(rn.count_steps(numpyro.optim.Adam(0.01))).params[NAME] == 3.0
    with pytest.raises(ValueError, match=r"nothing counts them: .*count_steps\(optim\)"):
        trained(numpyro.optim.Adam(0.01))


def test_pyro_the_ramp_counts_the_steps_of_svi():
    programs = pyro_cases.VECTOR.build(2)

    def train(optimiser, elbo):
        pyro.clear_param_store()
        svi = pyro.infer.SVI(programs[0], elbo.prepare(programs[1]), optimiser, elbo)
        for _ in range(3):
            svi.step()

    for elbo in (rp.REBAR_ELBO(debias=RAMP), rp.RELAX_ELBO(debias=RAMP, hidden=2)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            train(rp.count_steps(pyro.optim.Adam({"lr": 0.01})), elbo)
        assert float(rp.current_step()) == 3.0
        with pytest.warns(UserWarning, match=r"stays at 0: .*count_steps\(optim\)"):
            train(pyro.optim.Adam({"lr": 0.01}), elbo)


ROWS = np.array([[0.4, -0.8], [-0.3, 0.6], [1.1, 0.2]])
WEIGHT, KEY = 0.3, "z.estimator.debias"


def cost(z, exp):
    """What three rows of two bits are worth each: far from quadratic."""
    return exp(1.5 * z[..., 0] - z[..., 1]) - exp(z[..., 0] * z[..., 1])


def numpyro_rows():
    q = numpyro.param("q", jnp.asarray(ROWS))
    with numpyro.plate("rows", 3):
        numpyro.sample("z", numpyro.distributions.Bernoulli(logits=q).to_event(1))


def numpyro_worth():
    with numpyro.plate("rows", 3):
        half = numpyro.distributions.Bernoulli(logits=jnp.zeros(2)).to_event(1)
        numpyro.factor("worth", cost(numpyro.sample("z", half), jnp.exp))


def pyro_rows():
    q = pyro.param("q", lambda: torch.tensor(ROWS))
    with pyro.plate("rows", 3):
        pyro.sample("z", pyro.distributions.Bernoulli(logits=q).to_event(1))


def pyro_worth():
    with pyro.plate("rows", 3):
        half = pyro.distributions.Bernoulli(logits=torch.zeros(2).double()).to_event(1)
        pyro.factor("worth", cost(pyro.sample("z", half), torch.exp))


def exact_rows(of):
    """The sum over a row's four values of q times what a function makes of them."""
    z = np.array(list(itertools.product((0.0, 1.0), repeat=2)))[:, None]
    q = np.exp(np.asarray(mass(ROWS, z)).sum(-1))[..., None]
    return (q * of(z)).sum(0)


def test_the_learned_weight_goes_down_the_squared_error_of_the_sum_over_rows():
    def loss(options, params, key):
        elbo = rn.REBAR_ELBO(learn=False, **options)
        return elbo.loss(key, {"q": jnp.asarray(ROWS), **params}, numpyro_worth, numpyro_rows)

    @jax.jit
    def run(keys):
        params = {"q": jnp.asarray(ROWS), KEY: jnp.asarray(WEIGHT)}

        def one(key):
            make = lambda **options: jax.grad(partial(loss, options))(params, key)  # noqa: E731
            learned = make(debias="auto")
            return make(debias=0.0)["q"], make()["q"], learned["q"], learned[KEY]

        return jax.vmap(one)(keys)

    biased, whole, mixed, learned = map(
        np.asarray, run(jax.random.split(jax.random.key(3), 20_000))
    )
    np.testing.assert_allclose(mixed, biased + WEIGHT * (whole - biased))
    value = lambda z: cost(z, np.exp)[..., None] - np.asarray(mass(ROWS, z)).sum(-1)[..., None]  # noqa: E731
    p = 1 / (1 + np.exp(-ROWS))
    exact = -exact_rows(lambda z: value(z) * (z - p))
    assert np.all(np.abs(whole.mean(0) - exact) < 4.5 * whole.std(0) / np.sqrt(len(whole)))
    apart = (whole - biased).sum(1)
    error = (mixed.sum(1) - exact.sum(0)) * apart
    bias = exact - biased.mean(0)
    wanted = 2 * (error.sum(-1) + (exact * bias).sum())
    gap = learned - wanted
    assert abs(gap.mean()) < 4.5 * gap.std() / np.sqrt(len(gap))
    assert abs((exact * bias).sum()) > 0.1


def test_pyro_learns_the_weight_draw_by_draw_and_uses_it_clipped():
    def gradients(seed, weight=WEIGHT, **options):
        pyro.clear_param_store()
        pyro.set_rng_seed(seed)
        pyro.param(KEY, torch.tensor(weight).double())
        elbo = rp.REBAR_ELBO(learn=False, **options)
        elbo.loss_and_grads(pyro_worth, pyro_rows)
        return {n: p.grad for n, p in pyro.get_param_store().named_parameters()}

    # It is used clipped, and learned as it is, so that it comes back from beyond its ends.
    for seed, weight in enumerate((WEIGHT, -0.5, 1.5)):
        biased, whole = gradients(seed, debias=0.0)["q"], gradients(seed)["q"]
        found, apart = gradients(seed, weight, debias="auto"), whole - biased
        torch.testing.assert_close(found["q"], biased + min(max(weight, 0.0), 1.0) * apart)
        own = (apart**2).sum()
        bias = (apart.sum(0) ** 2).sum() - own
        wanted = 2 * ((weight - 1) * bias + (biased * apart).sum() + weight * own)
        torch.testing.assert_close(found[KEY], wanted)


def test_a_weight_that_cannot_be_learned_is_refused():
    model, guide = numpyro_cases.VECTOR.model, numpyro_cases.VECTOR.guide
    elbo = rn.REBAR_ELBO(debias="auto")
    params = numpyro_cases.VECTOR.values()
    key = jax.random.key(0)
    with pytest.raises(ValueError, match=r"learns 'b.estimator.debias' .* elbo.prepare\(guide\)"):
        jax.eval_shape(lambda key: elbo.loss(key, params, model, guide), key)
    svi = numpyro.infer.SVI(model, elbo.prepare(guide), numpyro.optim.Adam(0.1), elbo)
    with pytest.raises(ValueError, match="debias='auto' tells bias from noise by comparing the"):
        jax.eval_shape(lambda key: svi.update(svi.init(key)), key)
    pyro.clear_param_store()
    programs = pyro_cases.VECTOR.build(1)
    with pytest.raises(ValueError, match="debias='auto' tells bias from noise by comparing the"):
        rp.REBAR_ELBO(debias="auto").loss_and_grads(*programs)
