"""A distribution, and what the host wraps it in, survive pickling and copying."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import jax
import numpy as np
import torch

from tests.adapter import HOSTS, Host
from tests.hosts.conformance.rows import EVERY, each, over, value
from tests.relaxations.case import Case, reference_samples


def wrapped(host: Host, case: Case) -> dict[str, Any]:
    dist = host.make(case.name, case.params, validate=False)
    keep = host.array(np.arange(case.batch_shape[-1]) % 2 == 0, "bool")
    return {
        "itself": dist,
        "expanded": dist.expand((2, *case.batch_shape)),
        "of an event": dist.to_event(1),
        "masked": dist.mask(keep),
    }


def twins(dist: Any) -> list[Any]:
    return [pickle.loads(pickle.dumps(dist)), copy.deepcopy(dist), copy.copy(dist)]


@over(EVERY)
def test_the_copy_has_the_shapes(host: Host, case: Case):
    for what, one in wrapped(host, case).items():
        for twin in twins(one):
            assert type(twin) is type(one), what
            assert twin.batch_shape == one.batch_shape
            assert twin.event_shape == one.event_shape
            assert twin.has_rsample == one.has_rsample
            assert twin.has_enumerate_support == one.has_enumerate_support


@each(EVERY)
def test_the_copy_of_a_pytree_is_that_pytree(case: Case):
    for what, one in wrapped(HOSTS["numpyro"], case).items():
        for twin in twins(one):
            # Its law is made of these, and of nothing else.
            assert jax.tree.structure(twin) == jax.tree.structure(one), what
            for a, b in zip(jax.tree.leaves(twin), jax.tree.leaves(one), strict=True):
                np.testing.assert_array_equal(a, b)


@each(EVERY)
def test_the_copy_draws_and_scores_the_same(case: Case):
    host = HOSTS["pyro"]
    x = value(host, case, reference_samples(case, 1, 1))
    for what, one in wrapped(host, case).items():
        for twin in twins(one):
            assert torch.equal(host.draw(twin, 0), host.draw(one, 0)), what
            if case.density:
                assert torch.equal(twin.log_prob(x), one.log_prob(x)), what
