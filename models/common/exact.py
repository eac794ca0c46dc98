"""Answers by enumeration, against which the programs of the gallery hold their own."""

from itertools import product

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def skills_given_answers(
    answers: Array, needs: Array, prevalence: Array, slip: Array, guess: Array
) -> tuple[Array, float]:
    """The exact posterior of binary skills under the DINA model, summed over all their patterns.

    Who has all the skills that an item needs gets it right unless they slip; who lacks one gets it
    right by a guess alone.

    :param answers: zeros and ones, shape (people, items).
    :param needs: which skills an item needs, zeros and ones, shape (items, skills).
    :param prevalence: probability of each skill, shape (skills,).
    :param slip: shape (items,).
    :param guess: shape (items,).
    :returns: each person's probability of each skill, shape (people, skills), and the log
        likelihood of all answers.
    """
    patterns, _, weights, evidence = _enumerated(answers, needs, prevalence, slip, guess)
    return weights @ patterns, evidence


def best_log_likelihood(answers: Array, needs: Array, rounds: int = 300) -> float:
    """The largest log likelihood of answers under the DINA model, by the EM algorithm.

    :param answers: as for `skills_given_answers`.
    :param needs: likewise.
    :param rounds: how often to go from posterior to parameters.
    :returns: the log likelihood where it has stopped growing.
    """
    items, skills = needs.shape
    prevalence, slip, guess = np.full(skills, 0.5), np.full(items, 0.2), np.full(items, 0.2)
    evidence = -np.inf
    for _ in range(rounds):
        patterns, able, weights, evidence = _enumerated(answers, needs, prevalence, slip, guess)
        prevalence = (weights @ patterns).mean(0)
        has = weights @ able
        # Whatever comes to lie on an edge is kept where its logarithm is finite.
        slip = np.clip(1 - (has * answers).sum(0) / has.sum(0), 1e-6, 1 - 1e-6)
        guess = np.clip(((1 - has) * answers).sum(0) / (1 - has).sum(0), 1e-6, 1 - 1e-6)
    return evidence


def _enumerated(
    answers: Array, needs: Array, prevalence: Array, slip: Array, guess: Array
) -> tuple[Array, Array, Array, float]:
    """All patterns, who of them is able to what, their weight for each person, the evidence."""
    patterns = np.array(list(product((0.0, 1.0), repeat=len(prevalence))))
    able = (patterns @ needs.T == needs.sum(-1)).astype(float)
    right = able * (1 - slip) + (1 - able) * guess
    prior = patterns @ np.log(prevalence) + (1 - patterns) @ np.log1p(-prevalence)
    joint = prior + answers @ np.log(right).T + (1 - answers) @ np.log1p(-right).T
    evidence = np.logaddexp.reduce(joint, -1)
    return patterns, able, np.exp(joint - evidence[:, None]), float(evidence.sum())


def component_densities(y: Array, weights: Array, loc: Array, scale: Array) -> Array:
    """Weight times density of each component of a normal mixture.

    :param y: shape (n,).
    :param weights: shape (draws, components); likewise loc and scale.
    :returns: shape (draws, n, components); the sum over components is the density of y, and the
        share of a component in it the probability that it made y.
    """
    z = (y[:, None] - loc[:, None]) / scale[:, None]
    return weights[:, None] * np.exp(-0.5 * z**2) / (np.sqrt(2 * np.pi) * scale[:, None])
