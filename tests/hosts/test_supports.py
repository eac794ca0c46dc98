"""Supports as the hosts ask for them: bijections, refusals, warnings and a program's graph."""

from __future__ import annotations

import copy
import pickle
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as ndist
import numpyro.infer
import pyro
import pyro.distributions as pdist
import pyro.infer
import pytest
import torch
from numpyro.contrib.render import generate_graph_specification
from numpyro.infer.inspect import get_dependencies, get_model_relations
from scipy import integrate

import relaxppl.numpyro as rn
import relaxppl.pyro as rp
from relaxppl.numpyro.constraints import CONSTRAINTS
from tests.adapter import HOSTS

both_hosts = pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
BIJECTIONS = {"numpyro": ndist.biject_to, "pyro": torch.distributions.biject_to}
LOGITS = np.array([0.4, -0.7, 0.1])
T = 0.7
EXP = {"temperature": T, "logits": LOGITS}


def bijection(host, name, params):
    return BIJECTIONS[host.name](host.make(name, params).support)


# From the real line and back.


@both_hosts
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_log_simplex_is_reached_from_ratios_at_any_size(host, dtype):
    t = bijection(host, "ExpRelaxedOneHotCategorical", EXP)
    eps = np.finfo(dtype).eps
    for scale in (0.0, 1.0, 80.0, 1e5, 1e30):
        ratios = host.array(scale * np.array([[1.0, -0.3], [-1.0, -0.9]]), dtype)
        value = t(ratios)
        assert value.shape == (2, 3)
        assert dtype in str(value.dtype)
        np.testing.assert_allclose(np.exp(host.numpy(value)).sum(-1), 1.0, rtol=4 * eps)
        back = host.numpy(t.inv(value))
        np.testing.assert_allclose(back, host.numpy(ratios), atol=4 * eps * (1 + scale))
        assert t.log_abs_det_jacobian(ratios, value).shape == (2,)
    assert tuple(t.forward_shape((5, 2))) == (5, 3)
    assert tuple(t.inverse_shape((5, 3))) == (5, 2)
    assert (t.domain.event_dim, t.codomain.event_dim) == (1, 1)


@both_hosts
def test_the_volume_of_the_ratios_is_that_of_the_density(host):
    dist = host.make("ExpRelaxedOneHotCategorical", EXP)
    t = BIJECTIONS[host.name](dist.support)
    grid = np.linspace(-60, 60, 401)
    ratios = host.array(np.stack(np.meshgrid(grid, grid), -1))
    value = t(ratios)
    density = dist.log_prob(value) + t.log_abs_det_jacobian(ratios, value)
    total = np.exp(host.numpy(density)).sum() * (grid[1] - grid[0]) ** 2
    assert total == pytest.approx(1.0, abs=1e-6)


def test_the_jacobian_is_the_derivative_in_the_measure_of_the_density():
    # dx_1 dx_2 / (x_1 x_2 x_3), and x_i = exp(y_i).
    n, p = (bijection(host, "ExpRelaxedOneHotCategorical", EXP) for host in HOSTS.values())
    u = np.array([0.3, -1.1])
    by_jax = jax.jacfwd(lambda u: jnp.exp(n(u))[:-1])(jnp.asarray(u))
    by_torch = torch.autograd.functional.jacobian(lambda u: p(u).exp()[:-1], torch.tensor(u))
    for t, jacobian, array in ((n, by_jax, jnp.asarray), (p, by_torch, torch.tensor)):
        y = t(array(u))
        expected = np.linalg.slogdet(np.asarray(jacobian))[1] - float(y.sum())
        assert float(t.log_abs_det_jacobian(array(u), y)) == pytest.approx(expected, abs=1e-12)


@both_hosts
def test_parameters_of_pyro_and_numpyro_have_a_bijection(host):
    # As constraints of a guide's learned parameters.
    for key in ("logits", "temperature"):
        constraint = host.rx.RelaxedOneHotCategorical.arg_constraints[key]
        x = host.array([0.3, 1.2])
        t = BIJECTIONS[host.name](constraint)
        np.testing.assert_allclose(host.numpy(t(t.inv(x))), [0.3, 1.2])


# Samplers and autoguides against what is exact.

LOGIT = {"temperature": 0.4, "logits": 0.8}
# Of two classes the ratio has the law of the logit: symmetric about the same place.
TWO = {"temperature": 0.4, "logits": np.array([0.5, -0.3])}
EITHER = [("LogitRelaxedBernoulli", LOGIT), ("ExpRelaxedOneHotCategorical", TWO)]


def observed_mean() -> float:
    """E[y | x = 1] of y logistic of location 2 and scale 2.5, x ~ N(y, 1), by quadrature."""

    def weight(y):
        c = (y - 2.0) / 2.5
        return np.exp(-c - 2 * np.log1p(np.exp(-c)) - 0.5 * (1.0 - y) ** 2)

    mass = integrate.quad(weight, -15, 15)[0]
    return integrate.quad(lambda y: y * weight(y), -15, 15)[0] / mass


@pytest.mark.long
@both_hosts
@pytest.mark.parametrize(("name", "params"), EITHER)
def test_nuts_draws_from_the_posterior(host, name, params):
    sites = numpyro if host.name == "numpyro" else pyro
    normal = (ndist if host.name == "numpyro" else pdist).Normal

    def model():
        z = sites.sample("z", host.make(name, params, validate=None))
        y = z[..., 0] - z[..., 1] if z.ndim else z
        sites.sample("x", normal(y, host.array(1.0)), obs=host.array(1.0))

    if host.name == "numpyro":
        mcmc = numpyro.infer.MCMC(
            numpyro.infer.NUTS(model), num_warmup=200, num_samples=600, progress_bar=False
        )
        mcmc.run(jax.random.key(0))
    else:
        kernel = pyro.infer.NUTS(model, max_tree_depth=3)
        mcmc = pyro.infer.MCMC(kernel, 400, warmup_steps=100, disable_progbar=True)
        mcmc.run()
    z = host.numpy(mcmc.get_samples()["z"])
    y = z[:, 0] - z[:, 1] if z.ndim > 1 else z
    # The posterior's standard deviation is about 1; of 400 draws half are independent, or more.
    assert y.mean() == pytest.approx(observed_mean(), abs=4 / np.sqrt(200))
    assert 0.7 < y.std() < 1.3


@both_hosts
@pytest.mark.parametrize(("name", "params"), EITHER)
def test_an_autoguide_finds_the_middle_of_a_symmetric_law(host, name, params):
    if host.name == "numpyro":
        model = lambda: numpyro.sample("z", host.make(name, params))  # noqa: E731
        guide = numpyro.infer.autoguide.AutoNormal(model)
        elbo = numpyro.infer.Trace_ELBO(num_particles=32)
        svi = numpyro.infer.SVI(model, guide, numpyro.optim.Adam(0.03), elbo)
        fitted = svi.run(jax.random.key(0), 200, progress_bar=False)
        median = guide.median(fitted.params)["z"]
    else:
        pyro.clear_param_store()
        model = lambda: pyro.sample("z", host.make(name, params, validate=None))  # noqa: E731
        guide = pyro.infer.autoguide.AutoNormal(model)
        elbo = pyro.infer.Trace_ELBO(32, vectorize_particles=True, max_plate_nesting=0)
        svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.03}), elbo)
        for _ in range(200):
            svi.step()
        median = guide.median()["z"]
        pyro.clear_param_store()
    z = host.numpy(median)
    assert (z[0] - z[1] if z.ndim else z) == pytest.approx(2.0, abs=0.3)


# What has atoms.

ATOMS = {
    "HardConcrete": {"temperature": 0.5, "logits": 0.0},
    "GaussianRelaxedBernoulli": {"loc": 0.2, "scale": 0.5},
    "StochasticTimesSmooth": {"logits": 0.3},
    "RelaxedBernoulliStraightThrough": {"temperature": 0.5, "logits": 0.3},
    "RelaxedOneHotCategoricalStraightThrough": {"temperature": 0.5, "logits": LOGITS},
    "GumbelSoftmaxTopK": {"k": 2, "temperature": 0.5, "logits": LOGITS, "hard": True},
    "GeneralizedGumbelSoftmax": {
        "values": np.arange(3.0),
        "temperature": 0.5,
        "logits": LOGITS,
        "hard": True,
    },
}
GATES = ["HardConcrete", "GaussianRelaxedBernoulli"]


@pytest.mark.parametrize("name", ATOMS)
@pytest.mark.parametrize("init", [numpyro.infer.init_to_uniform, numpyro.infer.init_to_sample])
def test_numpyro_samplers_refuse_a_law_with_atoms_and_name_the_site(name, init):
    dist = HOSTS["numpyro"].make(name, ATOMS[name])
    kernel = numpyro.infer.NUTS(lambda: numpyro.sample("gate", dist), init_strategy=init)
    mcmc = numpyro.infer.MCMC(kernel, num_warmup=1, num_samples=1, progress_bar=False)
    with pytest.raises(ValueError, match="cannot handle discrete sample site 'gate'") as error:
        mcmc.run(jax.random.key(0))
    assert "atoms" in str(error.value.__context__)


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("kernel", [pyro.infer.NUTS, pyro.infer.HMC])
def test_pyro_samplers_refuse_a_law_with_atoms_and_name_the_site(name, kernel):
    dist = HOSTS["pyro"].make(name, ATOMS[name], validate=None)
    mcmc = pyro.infer.MCMC(kernel(lambda: pyro.sample("gate", dist)), 1, disable_progbar=True)
    with pytest.raises(NotImplementedError, match=r"'gate'.*atoms.*Normal"):
        mcmc.run()


def test_pyro_samplers_sum_a_straight_through_site():
    def model():
        z = pyro.sample("z", rp.RelaxedBernoulliStraightThrough(0.5, logits=torch.tensor(0.3)))
        loc = pyro.sample("loc", pdist.Normal(0.0, 1.0))
        pyro.sample("x", pdist.Normal(loc + 2 * z, 1.0), obs=torch.tensor(1.0))

    mcmc = pyro.infer.MCMC(pyro.infer.NUTS(model), 2, warmup_steps=2, disable_progbar=True)
    mcmc.run()
    assert set(mcmc.get_samples()) == {"loc"}


@pytest.mark.parametrize("guide", [pyro.infer.autoguide.AutoNormal, pyro.infer.autoguide.AutoDelta])
def test_pyro_autoguides_name_the_straight_through_site(guide):
    model = lambda: pyro.sample("flag", rp.StraightThroughBernoulli(logits=torch.tensor(0.3)))  # noqa: E731
    with pytest.raises(NotImplementedError, match=r"'flag'.*atoms"):
        guide(model)()


@both_hosts
@pytest.mark.parametrize("name", GATES)
def test_a_gate_in_a_plate_is_observed_validated_and_guided_as_before(host, name):
    dist = host.make(name, ATOMS[name], validate=None)
    assert host.inside(dist, host.array([-0.1, 0.0, 0.4, 1.0, 1.1])).tolist() == [0, 1, 1, 1, 0]
    data = host.array([0.0, 0.4, 1.0])
    expected = host.numpy(dist.log_prob(data)).sum()
    sites, infer = (numpyro, numpyro.infer) if host.name == "numpyro" else (pyro, pyro.infer)

    def model(data):
        with sites.plate("rows", 3):
            sites.sample("gate", dist, obs=data)

    if host.name == "numpyro":
        found = numpyro.infer.util.log_density(model, (data,), {}, {})[0]
        guide = infer.autoguide.AutoNormal(model)
        svi = infer.SVI(model, guide, numpyro.optim.Adam(0.1), infer.Trace_ELBO())
        fitted = svi.run(jax.random.key(0), 2, None, progress_bar=False)
        inside = guide.median(fitted.params)["gate"]
    else:
        pyro.clear_param_store()
        found = pyro.poutine.trace(model).get_trace(data).log_prob_sum()
        guide = infer.autoguide.AutoNormal(model)
        infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.1}), infer.Trace_ELBO()).step(None)
        inside = guide.median(None)["gate"]
        infer.autoguide.AutoDelta(model)(None)
        pyro.clear_param_store()
    assert float(found) == pytest.approx(expected)
    assert ((host.numpy(inside) > 0) & (host.numpy(inside) < 1)).all()


# NumPyro's own views of a program.


@pytest.mark.parametrize("name", ["ExpRelaxedOneHotCategorical", *ATOMS])
def test_numpyro_finds_the_graph_of_a_program(name):
    params = {**ATOMS, "ExpRelaxedOneHotCategorical": EXP}[name]

    def model(x):
        with numpyro.plate("rows", 4):
            z = numpyro.sample("z", HOSTS["numpyro"].make(name, params))
        numpyro.sample("x", ndist.Normal(z.sum(), 1.0), obs=x)

    relations = get_model_relations(model, (0.5,))
    assert relations["sample_sample"] == {"z": [], "x": ["z"]}
    assert relations["sample_dist"]["z"] == name
    dependencies = get_dependencies(model, (0.5,))
    assert dependencies["posterior_dependencies"]["z"].keys() == {"z", "x"}
    # What the host's render_model draws.
    assert ("z", "x") in generate_graph_specification(relations)["edge_list"]


def test_numpyro_finds_the_graph_of_a_relaxed_program():
    def model():
        z = numpyro.sample("z", ndist.Bernoulli(0.3))
        numpyro.sample("x", ndist.Normal(z, 1.0), obs=1.0)

    relaxed = rn.relax(model, temperature=0.5, hard=True)
    assert get_model_relations(relaxed)["sample_sample"] == {"z": [], "x": ["z"]}


OUTSIDE = {
    "RelaxedOneHotCategorical": [0.5, 0.6, 0.2],
    "ExpRelaxedOneHotCategorical": [-0.5, 0.0, -3.0],
    "OneHotCategorical": [0.5, 0.5, 0.0],
    "RelaxedOneHotCategoricalStraightThrough": [1.0, 1.0, 0.0],
    "GumbelSoftmaxTopK": [1.0, 0.0, 0.0],
    "GeneralizedGumbelSoftmax": 0.4,
    "HardConcrete": 1.3,
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_numpyro_warns_of_a_constant_outside_the_support_inside_jit(name):
    params = {**ATOMS, **dict.fromkeys(("RelaxedOneHotCategorical",), EXP)}
    params |= {"ExpRelaxedOneHotCategorical": EXP, "OneHotCategorical": {"logits": LOGITS}}
    given = HOSTS["numpyro"].arrays(params[name])

    def score(value):
        return jax.jit(lambda: getattr(rn, name)(**given).log_prob(value))()

    for array in (np.asarray, jnp.asarray):
        with pytest.warns(UserWarning, match="Out-of-support"):
            score(array(OUTSIDE[name]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score(HOSTS["numpyro"].make(name, params[name]).sample(jax.random.key(0)))


def test_numpyro_constraints_without_parameters_are_one_object():
    single = [c for c in CONSTRAINTS.values() if not isinstance(c, type) and not _parts(c)]
    assert len(single) >= 10
    for constraint in single:
        children, treedef = jax.tree.flatten(constraint)
        for twin in (
            pickle.loads(pickle.dumps(constraint)),
            copy.deepcopy(constraint),
            jax.tree.unflatten(treedef, children),
            type(constraint)(),
        ):
            assert twin is constraint
    ours = [c for c in single if type(c).__module__.startswith("relaxppl")]
    for a in ours:
        assert [bool(a.eq(b)) for b in ours] == [a == b for b in ours] == [a is b for b in ours]


def _parts(constraint) -> bool:
    """Whether it is made of others or has bounds, as of the host's own less_than(0)."""
    return hasattr(constraint, "base_constraint") or type(constraint).__name__ in (
        "_GreaterThan",
        "_LessThan",
        "_IndependentConstraint",
    )
