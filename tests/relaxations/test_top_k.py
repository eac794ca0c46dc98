"""The laws of k draws without replacement against sums over permutations and subsets."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from scipy import special

from tests.adapter import HOSTS, Host
from tests.relaxations.references import relaxed_top_k

LOGITS = np.array([0.4, -0.3, 0.0, 1.1, -2.0])
SKEWED = np.array([0.0, -12.0, -25.0, -3.0, -40.0])
host_pairs = pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS.keys())


def top_k(host: Host, k: int, logits: np.ndarray, **more):
    return host.make("GumbelSoftmaxTopK", {"k": k, "temperature": 0.7, "logits": logits, **more})


def chance_of_order(probs: np.ndarray, order: tuple[int, ...]) -> float:
    """One draw after the other, each among what is left."""
    chance, left = 1.0, list(range(len(probs)))
    for i in order:
        chance *= probs[i] / probs[left].sum()
        left.remove(i)
    return chance


def chance_of_subset(probs: np.ndarray, subset: tuple[int, ...]) -> float:
    return sum(chance_of_order(probs, order) for order in permutations(subset))


def k_hot(subset: tuple[int, ...], n: int) -> np.ndarray:
    return np.isin(np.arange(n), subset).astype(float)


@host_pairs
@pytest.mark.parametrize("logits", [LOGITS, SKEWED], ids=["even", "skewed"])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_mass_of_a_subset_is_the_sum_over_its_orders(host: Host, k: int, logits: np.ndarray):
    subsets = list(combinations(range(5), k))
    values = np.array([k_hot(s, 5) for s in subsets])
    expected = [np.log(chance_of_subset(special.softmax(logits), s)) for s in subsets]
    found = host.log_prob(top_k(host, k, logits, hard=True), values)
    # Relative to the mass itself: the unlikeliest subset here has probability 1e-34.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@host_pairs
def test_mass_of_a_subset_is_the_alternating_sum(host: Host):
    probs = special.softmax(np.random.default_rng(0).normal(size=9))
    for subset in [(0, 1, 2, 3), (4, 5, 6, 7), (0, 2, 4, 8)]:
        rest = 1 - probs[list(subset)].sum()
        terms = [
            (-1) ** size * rest / (rest + probs[list(c)].sum())
            for size in range(5)
            for c in combinations(subset, size)
        ]
        dist = top_k(host, 4, np.log(probs), hard=True)
        found = host.log_prob(dist, k_hot(subset, 9))
        assert found == pytest.approx(np.log(sum(terms)), abs=1e-9)


@host_pairs
def test_mass_of_a_large_subset_is_stable(host: Host):
    # Equal items: every subset of 20 out of 40 has the same mass, 1 / C(40, 20). The alternating
    # sum has a million terms and loses every digit.
    dist = top_k(host, 20, np.zeros(40), hard=True)
    found = host.log_prob(dist, k_hot(tuple(range(20)), 40))
    assert found == pytest.approx(-np.log(special.comb(40, 20)), abs=1e-8)


@host_pairs
def test_float32_mass_of_own_samples_at_extreme_odds_is_finite(host: Host):
    params = {"k": 3, "temperature": 1.0, "logits": 88.0 * np.array([1, -1, 0.5, -0.5, 0.9, -0.9])}
    dist = host.make("GumbelSoftmaxTopK", {**params, "hard": True}, "float32")
    draws = host.samples(dist, 0, (50,))
    assert np.isfinite(host.log_prob(dist, draws, "float32")).all()
    rare = host.log_prob(dist, k_hot((1, 3, 5), 6), "float32")
    expected = chance_of_three_rarest(params["logits"])
    assert rare == pytest.approx(expected, rel=1e-5)


def chance_of_three_rarest(logits: np.ndarray) -> float:
    """The log mass of items 1, 3 and 5, by the same sum in logarithms."""
    log_p = special.log_softmax(logits)
    orders = []
    for order in permutations((1, 3, 5)):
        left, total = list(range(6)), 0.0
        for i in order:
            total += log_p[i] - special.logsumexp(log_p[left])
            left.remove(i)
        orders.append(total)
    return special.logsumexp(orders)


@host_pairs
def test_mass_of_an_order_is_that_of_its_draws(host: Host):
    dist, probs = top_k(host, 3, LOGITS), special.softmax(LOGITS)
    orders = list(permutations(range(5), 3))
    found = np.exp(host.call(dist, "ordered_log_prob", host.array(np.array(orders), "int64")))
    expected = [chance_of_order(probs, order) for order in orders]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert found.sum() == pytest.approx(1.0, abs=1e-12)


@host_pairs
def test_an_order_with_a_repeated_item_is_impossible(host: Host):
    order = host.array(np.array([1, 0, 1]), "int64")
    assert host.call(top_k(host, 3, LOGITS), "ordered_log_prob", order) == -np.inf


@host_pairs
def test_orders_of_the_noise_have_their_mass(host: Host):
    dist, probs = top_k(host, 2, LOGITS), special.softmax(LOGITS)
    order = host.call(dist, "order", host.array(host.noise(dist, 0, (100_000,))))
    for i, j in permutations(range(5), 2):
        chance = chance_of_order(probs, (i, j))
        frequency = ((order[:, 0] == i) & (order[:, 1] == j)).mean()
        assert abs(frequency - chance) < 5 * np.sqrt(chance / 100_000)


@host_pairs
@pytest.mark.parametrize("k", [1, 2, 4, 5])
def test_inclusion_probabilities_sum_over_subsets(host: Host, k: int):
    probs = special.softmax(LOGITS)
    expected = sum(chance_of_subset(probs, s) * k_hot(s, 5) for s in combinations(range(5), k))
    for hard in (False, True):
        found = host.call(top_k(host, k, LOGITS, hard=hard), "inclusion_probs")
        np.testing.assert_allclose(found, expected, atol=1e-10)


@host_pairs
def test_inclusion_probabilities_of_many_items(host: Host):
    # Too many subsets to list: they sum to k, and equal items share equally.
    logits = np.concatenate([np.zeros(20), np.full(30, -1.0)])
    found = host.call(top_k(host, 12, logits), "inclusion_probs")
    assert found.sum() == pytest.approx(12.0, abs=1e-8)
    np.testing.assert_allclose(found[:20], found[0], atol=1e-10)
    draws = host.samples(top_k(host, 12, logits, hard=True), 0, (20_000,))
    assert draws[:, :20].mean() == pytest.approx(found[0], abs=4e-3)


@host_pairs
def test_subset_mass_is_the_relaxed_samples_way_out(host: Host):
    soft, hard = top_k(host, 2, LOGITS), top_k(host, 2, LOGITS, hard=True)
    value = host.samples(soft, 0, (10,))
    subset = host.call(soft, "harden", host.array(value))
    assert (subset.sum(-1) == 2).all()
    scored = host.call(soft, "subset_log_prob", host.array(subset))
    np.testing.assert_array_equal(scored, host.log_prob(hard, subset))


@host_pairs
def test_a_cold_relaxation_draws_no_item_twice(host: Host):
    # The plain log(1 - x), clamped at the rounding of 1, leaves the first item on top here.
    logits = np.array([88.0, -88.0, 0.0, 40.0])
    params = {"k": 3, "temperature": 1e-3, "logits": logits}
    dist = host.make("GumbelSoftmaxTopK", params, "float32")
    soft = host.from_noise(dist, np.zeros(4), "float32")
    np.testing.assert_allclose(soft, [1.0, 0.0, 1.0, 1.0], atol=1e-6)


@host_pairs
def test_what_is_left_of_a_nearly_certain_item_is_kept_in_float32(host: Host):
    # 1 - x is 4e-9 here, and rounds to 0: the item then falls level with the others, no further.
    params = {"k": 2, "temperature": 1.0, "logits": np.array([20.0, 0.0, 0.0])}
    dist = host.make("GumbelSoftmaxTopK", params, "float32")
    soft = host.from_noise(dist, np.zeros(3), "float32")
    np.testing.assert_allclose(soft, relaxed_top_k(params["logits"], 2, 1.0), atol=1e-5)


@host_pairs
def test_enumerated_support_has_the_whole_mass_and_the_entropy(host: Host):
    logits = np.stack([LOGITS, SKEWED])
    dist = top_k(host, 2, logits, hard=True)
    assert dist.has_enumerate_support
    support = dist.enumerate_support()
    assert tuple(support.shape) == (10, 2, 5)
    log_prob = host.log_prob(dist, host.numpy(support))
    np.testing.assert_allclose(np.exp(log_prob).sum(0), 1.0, atol=1e-9)
    entropy = -(np.exp(log_prob) * log_prob).sum(0)
    np.testing.assert_allclose(host.moment(dist, "entropy"), entropy, atol=1e-9)
    assert not top_k(host, 2, LOGITS).has_enumerate_support
