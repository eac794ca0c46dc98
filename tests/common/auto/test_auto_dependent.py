"""Guides whose sites depend on each other, at the tables of the exact posterior."""

from __future__ import annotations

import importlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pyro
import pytest
import torch
from scipy import special, stats

from tests.adapter import both

CLASSES = np.array([0.2, 0.5, 0.3])
LOADS = np.array([1.0, -0.5, 2.0])
Y_ROWS = np.array([0.4, -1.0])


def program(host: Any) -> Any:
    """A class, flags that meet in one sum, and rows that see the class."""

    def model() -> None:
        dist, array = host.dist, host.array
        with host.plate("flags", 3):
            flag = host.sample("flag", dist.Bernoulli(array(0.3)))
        klass = host.sample("klass", dist.Categorical(array(CLASSES)))
        shift = array([0.0, 1.0, -1.0])[klass]
        mean = (flag * array(LOADS)).sum(-1, keepdims=True) + shift[..., None]
        host.sample("y", dist.Normal(mean, 0.5).to_event(1), obs=array([1.6]))
        with host.plate("rows", 2):
            row = host.sample("row", dist.Bernoulli(logits=shift))
            host.sample("x", dist.Normal(row - shift, 0.7), obs=array(Y_ROWS))

    return model


def joint() -> tuple[np.ndarray, float]:
    """log p of each value of the class, the flags and the rows, (3, 2, 2, 2, 2, 2), normalised."""
    log_p = np.zeros((3, 2, 2, 2, 2, 2))
    for index in np.ndindex(*log_p.shape):
        k, flags, rows = index[0], np.array(index[1:4]), np.array(index[4:])
        shift = [0.0, 1.0, -1.0][k]
        total = np.log(CLASSES[k]) + stats.bernoulli.logpmf(flags, 0.3).sum()
        total += stats.norm.logpdf(1.6, flags @ LOADS + shift, 0.5)
        total += stats.bernoulli.logpmf(rows, special.expit(shift)).sum()
        log_p[index] = total + stats.norm.logpdf(Y_ROWS, rows - shift, 0.7).sum()
    log_z = float(special.logsumexp(log_p))
    return log_p - log_z, log_z


AXES = {"klass": [0], "flag": [1, 2, 3], "row": [4, 5]}


def tables(guide: Any) -> dict[str, np.ndarray]:
    """The tables that make the guide the posterior: conditional log probabilities."""
    p = np.exp(joint()[0])
    found = {}
    for link in guide._links:
        above = [axis for parent in link.parents for axis in AXES[parent.name]]
        elements = [[axis] for axis in AXES["row"]]
        if link.name != "row":
            elements = [AXES[link.name]]
        rows = []
        for own in elements:
            kept = [*above, *own]
            q = np.moveaxis(
                p.sum(axis=tuple({*range(6)} - {*kept}), keepdims=True), kept, range(len(kept))
            )
            q = q.reshape(q.shape[: len(kept)])
            cells = q.reshape((-1, *q.shape[len(above) :]))
            tree = []
            for d in range(len(own)):
                upto = cells.sum(axis=tuple(range(d + 2, cells.ndim)))
                tree.append(upto.reshape((len(cells), -1, upto.shape[-1])))
            rows.append(np.log(np.concatenate(tree, axis=1)))
        table = np.stack(rows)
        shape = (*link.layout.kept, *link.shapes["table"]) if "table" in link.shapes else None
        found[link.name] = table if shape is None else table.reshape(shape)
    return found


@both
def test_a_guide_with_the_posteriors_tables_is_the_posterior(host: Any) -> None:
    pyro.clear_param_store()
    model, guide = program(host), host.rx.AutoDiscrete(program(host), structure="autoregressive")
    log_z = joint()[1]
    elbo = host.rx.ScoreFunction_ELBO(num_particles=20)
    exact = {"klass": np.exp(special.logsumexp(joint()[0], axis=(1, 2, 3, 4, 5)))}
    exact["flag"] = np.array([np.exp(joint()[0]).take(1, axis=1 + i).sum() for i in range(3)])
    exact["row"] = np.array([np.exp(joint()[0]).take(1, axis=4 + i).sum() for i in range(2)])
    if host.name == "numpyro":
        svi = numpyro.infer.SVI(model, guide, numpyro.optim.Adam(0.01), elbo)
        params = jax.jit(lambda key: svi.get_params(svi.init(key)))(jax.random.key(0))
        for name, table in tables(guide).items():
            params[f"{name}_auto_linear"] = 0.0 * params.get(f"{name}_auto_linear", 0.0)
            params[f"{name}_auto_logits"] = 0.0 * params[f"{name}_auto_logits"]
            if f"{name}_auto_table" in params:
                assert params[f"{name}_auto_table"].shape == table.shape
                params[f"{name}_auto_table"] = jnp.asarray(table)
            else:
                params[f"{name}_auto_logits"] = jnp.asarray(table[0, 0, 0])
        loss = jax.jit(lambda key, params: elbo.loss(key, params, model, guide))
        losses = [float(loss(jax.random.key(1), params))]
        probs = guide.probs(params)
        draws = guide.sample_posterior(jax.random.key(2), params, sample_shape=(2, 3))
    else:
        torch.manual_seed(0)
        guide()
        with torch.no_grad():
            for name, table in tables(guide).items():
                getattr(guide.logits, name).zero_()
                if "table" in {
                    kind for link in guide._links if link.name == name for kind in link.shapes
                }:
                    getattr(guide.linear, name).zero_()
                    getattr(guide.table, name).copy_(host.array(table))
                else:
                    getattr(guide.logits, name).copy_(host.array(table[0, 0, 0]))
        losses = [host.rx.ScoreFunction_ELBO().loss(model, guide) for _ in range(3)]
        probs = guide.probs()
        draws = guide.sample_posterior(sample_shape=(2, 3))
    # Where q is p every draw is worth the evidence.
    np.testing.assert_allclose(losses, -log_z, rtol=1e-6)
    for name, expected in exact.items():
        np.testing.assert_allclose(host.numpy(probs[name]), expected, atol=0.02)
    assert {n: tuple(x.shape) for n, x in draws.items()} == {
        "klass": (2, 3), "flag": (2, 3, 3), "row": (2, 3, 2),
    }  # fmt: skip


X = np.array([[1.0, 0.9, -0.2], [0.5, 0.7, 1.0], [-1.0, -0.6, 0.3], [0.2, -0.4, 0.8]])
Y_REGRESSION = np.array([1.5, 0.6, -1.1, 0.9])
NOISE = 0.4


def regression(host: Any) -> Any:
    """Three collinear features, each with a flag and a coefficient."""

    def model() -> None:
        dist, array = host.dist, host.array
        with host.plate("features", 3):
            flag = host.sample("flag", dist.Bernoulli(array(0.3)))
            w = host.sample("w", dist.Normal(array(0.0), 1.0))
        mean = array(X) @ (flag * w)
        host.sample("y", dist.Normal(mean, NOISE).to_event(1), obs=array(Y_REGRESSION))

    return model


@both
def test_coefficients_given_their_flags_are_the_posterior_of_a_regression(host: Any) -> None:
    pyro.clear_param_store()
    model = regression(host)
    guide = host.rx.AutoDiscrete(model, structure="autoregressive")
    log_p = np.zeros((2, 2, 2))
    for flags in np.ndindex(2, 2, 2):
        # The coefficients summed out: y is normal.
        cov = NOISE**2 * np.eye(4) + (X * flags) @ (X * flags).T
        log_p[flags] = stats.multivariate_normal.logpdf(Y_REGRESSION, np.zeros(4), cov)
        log_p[flags] += stats.bernoulli.logpmf(flags, 0.3).sum()
    upto = [special.logsumexp(log_p, axis=tuple(range(d + 1, 3))).reshape((-1, 2)) for d in (0, 1)]
    tree = np.concatenate([*upto, log_p.reshape((-1, 2))])
    precision = X.T @ X / NOISE**2
    factor = np.linalg.cholesky(precision)
    scale = np.diag(factor)
    exact = {
        ("flag", "logits"): np.zeros(3),
        ("flag", "linear"): np.zeros((1, 6, 6)),
        ("flag", "table"): tree[None, None],
        ("w", "loc"): np.zeros(3),
        ("w", "log_scale"): np.zeros(3),
        ("w", "linear"): np.zeros((1, 3, 6)),
        ("w", "gated_loc"): np.linalg.solve(X.T @ X, X.T @ Y_REGRESSION)[None],
        ("w", "gated_scale"): np.log(scale)[None],
        ("w", "mix"): (factor / scale[:, None])[None],
    }
    elbo = host.rx.ScoreFunction_ELBO(num_particles=3)
    if host.name == "numpyro":
        svi = numpyro.infer.SVI(model, guide, numpyro.optim.Adam(0.01), elbo)
        params = jax.jit(lambda key: svi.get_params(svi.init(key)))(jax.random.key(0))
        given = {f"{name}_auto_{kind}": jnp.asarray(x) for (name, kind), x in exact.items()}
        assert {n: x.shape for n, x in params.items()} == {n: x.shape for n, x in given.items()}
        loss = jax.jit(lambda key: elbo.loss(key, given, model, guide))(jax.random.key(1))
    else:
        guide()
        assert len(list(guide.parameters())) == len(exact)
        with torch.no_grad():
            for (name, kind), x in exact.items():
                getattr(getattr(guide, kind), name).copy_(host.array(x))
        loss = elbo.loss(model, guide)
    np.testing.assert_allclose(loss, -special.logsumexp(log_p), rtol=1e-6)


@both
def test_a_continuous_site_may_depend_on_many_discrete_ones(host: Any) -> None:
    """2^70 joint values: no array holds one number for each."""
    flags = host.array(np.full(70, 0.5))

    def model() -> None:
        z = host.sample("z", host.dist.Bernoulli(flags).to_event(1))
        host.sample("level", host.dist.Normal(z.sum(-1), 1.0))

    guide = host.rx.AutoDiscrete(model, structure="autoregressive")

    def draw() -> Any:
        return host.trace(guide)["level"]["value"]

    assert (jax.eval_shape(draw) if host.name == "numpyro" else draw()).shape == ()


def test_a_scalar_continuous_site_beside_a_subsampled_plate_on_pyro() -> None:
    pyro.clear_param_store()

    def model() -> None:
        scale = pyro.sample("scale", pyro.distributions.HalfNormal(torch.tensor(1.0)))
        on = pyro.sample("on", pyro.distributions.Bernoulli(0.5))
        with pyro.plate("rows", 4, subsample_size=2):
            row = pyro.sample("row", pyro.distributions.Bernoulli(torch.tensor(0.5)))
            pyro.sample("y", pyro.distributions.Normal(row + on, scale), obs=torch.ones(2))

    guide = importlib.import_module("relaxppl.pyro").AutoDiscrete(model, structure="autoregressive")
    assert float(guide()["scale"].detach()) > 0
    assert [link.name for link in guide._links] == ["on", "scale", "row"]
    draws = guide.sample_posterior(sample_shape=(3,))
    shapes = {name: tuple(x.shape) for name, x in draws.items()}
    assert shapes == {"on": (3,), "scale": (3,), "row": (3, 4)}


@both
def test_continuous_sites_begin_alike_in_every_process(host: Any) -> None:
    """What a site's tables begin with goes by its number, and the order of a set is another."""
    names = [f"x{i}" for i in (3, 1, 4, 0, 5, 9, 2, 6)]

    def model() -> None:
        z = host.sample("z", host.dist.Bernoulli(host.array(0.5)))
        for name in names:
            host.sample(name, host.dist.Normal(z, 1.0))

    guide = host.rx.AutoDiscrete(model, structure="autoregressive")
    host.trace(guide)
    assert list(guide._reals) == names


@both
def test_a_structure_that_there_is_not_is_refused(host: Any) -> None:
    with pytest.raises(ValueError, match=r"'chain'.*got 'tree'"):
        host.rx.AutoDiscrete(program(host), structure="tree")
