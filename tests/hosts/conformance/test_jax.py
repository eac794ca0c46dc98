"""NumPyro's distributions are pytrees that every transformation of JAX takes apart and rebuilds."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.distributions.batch_util import promote_batch_shape, vmap_over

from tests.adapter import HOSTS
from tests.hosts.conformance.rows import EVERY, ROWS, each, first_element, value, variants
from tests.relaxations.case import (
    Case,
    Params,
    element,
    reference_log_prob,
    reference_samples,
)

HOST = HOSTS["numpyro"]


@pytest.mark.long
@each(ROWS)
def test_operation_by_operation_it_is_the_same(case: Case):
    # One element, without a batch: its operations are those of many other classes, and compiled.
    dist = HOST.build(case.name, HOST.arrays(first_element(case)))
    key = jax.random.key(0)
    np.testing.assert_allclose(
        dist.sample(key), jax.jit(lambda d: d.sample(key))(dist), rtol=1e-9, atol=1e-12
    )
    if case.density:
        x = case.first_law.sample(np.random.default_rng(0), 2)
        found = dist.log_prob(value(HOST, case, x[0]))
        np.testing.assert_allclose(found, case.first_law.log_prob(x)[0], rtol=1e-9)


def stacked(case: Case) -> Params:
    return {n: np.stack([v[n] for v in variants(case)]) for n in case.arrays}


def lowered(case: Case) -> Case:
    """The same with the first of several parameters, a temperature as a rule, without a batch."""
    first = next(iter(case.arrays))
    alone = len(case.arrays) == 1
    given = {} if alone else {first: element(case, case.params, (0,))[first]}
    return replace(case, params={**case.params, **given})


@pytest.mark.compiles_each
@each(ROWS)
def test_vmap_over_parameters_and_distributions(case: Case):
    # A mapped dimension goes in front of the batch also where a parameter has none.
    case = lowered(case)
    x = np.stack([reference_samples(case, 3, 2, p) for p in variants(case)])
    keys = jax.random.split(jax.random.key(0), 3)
    name = list(case.arrays)[-1]

    @jax.jit
    def run(many, x, keys):
        def inside(given, key, x):
            dist = HOST.build(case.name, {**given, **case.static})
            return dist, dist.sample(key), dist.log_prob(x) if case.density else key

        dist, sample, score = jax.vmap(inside)(many, keys, x)
        again = jax.vmap(lambda d, k: d.sample(k))(dist, keys)
        whole, scores = promote_batch_shape(dist), {}
        if case.density:
            mixed = HOST.build(case.name, HOST.arrays(case.params))
            mixed.__dict__[name] = many[name]
            over_one = jax.vmap(lambda d: d.log_prob(x[0]), (vmap_over(mixed, **{name: 0}),))
            scores = {
                "constructed inside": score,
                "over one": over_one(mixed),
                "promoted": jnp.swapaxes(whole.log_prob(jnp.swapaxes(x, 0, 1)), 0, 1),
            }
        return whole, sample, again, scores

    whole, sample, again, scores = run(HOST.arrays(stacked(case)), value(HOST, case, x), keys)
    assert whole.batch_shape == (3, *case.batch_shape)
    assert whole.event_shape == case.event_shape
    assert sample.shape == (3, *case.batch_shape, *case.event_shape)
    assert jax.eval_shape(whole.sample, keys[0]).shape == sample.shape
    np.testing.assert_allclose(again, sample, rtol=1e-12)
    for what, found in scores.items():
        for i, (a, p) in enumerate(zip(x, variants(case), strict=True)):
            one = what == "over one"
            given = {**case.params, name: p[name]} if one else p
            right = reference_log_prob(case, x[0] if one else a, given)
            np.testing.assert_allclose(found[i], right, rtol=1e-8, err_msg=what)


@each(EVERY)
def test_flattened_and_rebuilt(case: Case):
    dist = HOST.build(case.name, HOST.arrays(case.params))
    leaves, tree = jax.tree.flatten(dist)
    given = dist.get_args().values()
    assert sorted(map(id, leaves)) == sorted(map(id, given))
    again = jax.tree.unflatten(tree, leaves)
    assert type(again) is type(dist)
    assert again.batch_shape == dist.batch_shape
    assert again.event_shape == dist.event_shape
    for name, parameter in dist.get_args().items():
        assert getattr(again, name) is parameter
    # Another of the same shapes is compiled for no second time.
    other = HOST.build(case.name, HOST.arrays(variants(case)[1]))
    assert jax.tree.structure(other) == tree
    assert hash(jax.tree.structure(other)) == hash(tree)
