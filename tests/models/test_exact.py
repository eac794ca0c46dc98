"""The programs' answers by enumeration, against sums written out one person at a time."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from models.common.exact import best_log_likelihood, skills_given_answers
from models.common.gibbs import components_in_use


def test_skills_are_summed_over_every_pattern() -> None:
    rng = np.random.default_rng(0)
    answers, needs = rng.integers(0, 2, (4, 3)), np.array([[1, 0], [0, 1], [1, 1]])
    prevalence, slip, guess = rng.uniform(0.1, 0.4, (3, 3))
    found, evidence = skills_given_answers(answers, needs, prevalence[:2], slip, guess)
    total = 0.0
    for person, row in enumerate(answers):
        weights = {}
        for skills in product((0, 1), repeat=2):
            weight = np.prod(stats.bernoulli.pmf(skills, prevalence[:2]))
            for item, answer in enumerate(row):
                lacks = any(need > skill for need, skill in zip(needs[item], skills, strict=True))
                yes = guess[item] if lacks else 1 - slip[item]
                weight *= yes if answer else 1 - yes
            weights[skills] = weight
        total += np.log(sum(weights.values()))
        for skill in (0, 1):
            has = sum(weight for skills, weight in weights.items() if skills[skill])
            assert found[person, skill] == pytest.approx(has / sum(weights.values()))
    assert evidence == pytest.approx(total)


def test_em_climbs_to_where_no_parameter_gains() -> None:
    rng = np.random.default_rng(1)
    needs = np.eye(3)[[0, 1, 2, 0, 1, 2, 0, 1, 2]]
    answers = (rng.random((200, 9)) < 0.1 + 0.8 * (rng.random((200, 3)) < 0.5) @ needs.T) * 1.0
    best = best_log_likelihood(answers, needs)
    for _ in range(50):
        prevalence, slip, guess = rng.uniform(0.45, 0.55, 3), *rng.uniform(0.07, 0.13, (2, 9))
        assert skills_given_answers(answers, needs, prevalence, slip, guess)[1] < best
    assert best_log_likelihood(answers, needs, 600) == pytest.approx(best, abs=1e-6)


def test_the_gibbs_sampler_counts_components() -> None:
    y, rng = np.array([18.0, 19.5, 24.0]), np.random.default_rng(0)
    found = components_in_use(y, 2, seed=0, chains=40)
    # The same posterior by draws of the prior, weighted by the likelihood.
    broken, loc = rng.beta(1.0, 1.0, 200_000), rng.normal(20.0, 10.0, (200_000, 2))
    scale = np.exp(rng.normal(0.0, 0.7, loc.shape))
    each = np.stack([broken, 1 - broken], -1) * stats.norm.pdf(y[:, None, None], loc, scale)
    one = each.prod(0).sum(-1).mean() / each.sum(-1).prod(0).mean()
    assert (found == 1).mean() == pytest.approx(one, abs=0.03)
