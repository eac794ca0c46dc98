"""The exact posterior of orderings against all of them, and the programs' model against both."""

from __future__ import annotations

from functools import cache
from itertools import permutations

import jax.numpy as jnp
import numpy as np
import pyro
import pytest
import torch
from numpyro import handlers

from models.common.orderings import (
    fewest_upsets,
    ordering_given_pairs,
    places_of,
    rankings_posterior,
    upsets_of,
)
from models.numpyro import rankings as in_numpyro
from models.pyro import rankings as in_pyro
from models.rdata import load_bakers

RANKINGS = [[(2, 0, 1, 3, 4), (0, 3, 2), (2, 3)], [(4, 1, 0, 2), (4, 0), (1, 4, 3, 2, 0)]]
"""Who was first, second and so on, in the rankings of two groups of five."""
ORDERS = np.array(list(permutations(range(5))))


def upsets(ranking: tuple[int, ...], order: tuple[int, ...]) -> int:
    """Pairs that are the other way round, counted one by one."""
    at = list(order).index
    pairs = [(i, j) for k, i in enumerate(ranking) for j in ranking[k + 1 :]]
    return sum(at(i) > at(j) for i, j in pairs)


@cache
def log_normaliser(people: tuple[int, ...], agreement: float) -> float:
    """The sum over all rankings, which is the same whatever the ordering is."""
    return float(
        np.logaddexp.reduce([-agreement * upsets(r, people) for r in permutations(people)])
    )


def log_likelihood(rankings: list[tuple[int, ...]], order: np.ndarray, agreement: float) -> float:
    """By each ranking's own sum over all rankings of the same people."""
    return -sum(
        agreement * upsets(ranking, tuple(order)) + log_normaliser(ranking, agreement)
        for ranking in rankings
    )


def counted() -> tuple[np.ndarray, np.ndarray]:
    ahead, places = np.zeros((2, 5, 5)), np.zeros((2, 5))
    for group, rankings in enumerate(RANKINGS):
        for ranking in rankings:
            places[group, : len(ranking)] += 1
            for k, i in enumerate(ranking):
                ahead[group, i, list(ranking[k + 1 :])] += 1
    return ahead, places


def test_sums_over_sets_are_sums_over_orderings() -> None:
    ahead, places = counted()
    grid = np.linspace(0.2, 1.4, 5)
    log_prior = np.log(np.array([0.1, 0.3, 0.3, 0.2, 0.1]) / 0.3)
    joint = np.array(
        [
            [[log_likelihood(rankings, order, point) for order in ORDERS] for rankings in RANKINGS]
            for point in grid
        ]
    )
    each = np.logaddexp.reduce(joint, -1) - np.log(len(ORDERS))
    total = log_prior + np.log(0.3) + each.sum(-1)
    mass = np.exp(total - np.logaddexp.reduce(total))
    law = np.exp(joint - np.logaddexp.reduce(joint, -1, keepdims=True))
    expected = np.zeros((2, 5, 5))
    for k, order in enumerate(ORDERS):
        expected[:, order, np.arange(5)] += (mass @ law[..., k])[:, None]
    at, weight, evidence = rankings_posterior(ahead, places, log_prior, grid)
    np.testing.assert_allclose(at, expected, atol=1e-12)
    np.testing.assert_allclose(weight, mass, atol=1e-12)
    assert evidence == pytest.approx(np.logaddexp.reduce(total), abs=1e-10)


def test_upsets_are_counted() -> None:
    ahead, _ = counted()
    by_hand = np.array(
        [[sum(upsets(r, tuple(order)) for r in group) for group in RANKINGS] for order in ORDERS]
    )
    np.testing.assert_array_equal(upsets_of(np.stack([ORDERS, ORDERS], 1), ahead), by_hand)
    np.testing.assert_array_equal(fewest_upsets(ahead), by_hand.min(0))
    at = places_of(np.stack([ORDERS, ORDERS], 1))
    np.testing.assert_allclose(at, np.full((2, 5, 5), 0.2))
    # Where nobody is ahead of anybody, all orderings are alike.
    np.testing.assert_allclose(ordering_given_pairs(0 * ahead[0], np.array([0.7]))[0], 0.2)


def test_both_hosts_have_the_law_of_the_rankings() -> None:
    ahead, places = counted()
    orders = np.array([[2, 4, 0, 3, 1], [1, 0, 4, 2, 3]])
    expected = sum(log_likelihood(r, o, 0.6) for r, o in zip(RANKINGS, orders, strict=True))
    values = {"agreement": jnp.array(0.6), "order": jnp.array(orders)}
    model = handlers.substitute(handlers.seed(in_numpyro.model, 0), values)
    site = handlers.trace(model).get_trace(jnp.array(ahead), jnp.array(places))["rankings"]
    assert float(site["fn"].log_prob(site["value"]).sum()) == pytest.approx(expected, abs=1e-6)
    values = {"agreement": torch.tensor(0.6), "order": torch.tensor(orders)}
    model = pyro.poutine.condition(in_pyro.model, values)
    args = torch.tensor(ahead, dtype=torch.float32), torch.tensor(places, dtype=torch.float32)
    site = pyro.poutine.trace(model).get_trace(*args).nodes["rankings"]
    assert float(site["fn"].log_prob(site["value"]).sum()) == pytest.approx(expected, abs=1e-4)


def test_bakers_are_those_of_the_show() -> None:
    bakers = load_bakers()
    assert bakers.series == [2, 5, 6, 7, 8, 9]
    winners = ["Joanne", "Nancy", "Nadiya", "Candice", "Sophie", "Rahul"]
    assert [names[i] for names, i in zip(bakers.names, bakers.winners, strict=True)] == winners
    # Series 5 had ten challenges, of 12, 11, 10, 9, 7, 6, 6, 5, 4 and 3 bakers.
    np.testing.assert_array_equal(bakers.places[1], [10, 10, 10, 9, 8, 7, 5, 4, 4, 3, 2, 1])
    nancy, norman = (bakers.names[1].index(name) for name in ("Nancy", "Norman"))
    # Nancy was before Norman in four of the five challenges that he took part in.
    assert (bakers.ahead[1, nancy, norman], bakers.ahead[1, norman, nancy]) == (4, 1)
