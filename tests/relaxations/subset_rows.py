"""The rows of the laws of k of n, and the law by every subset."""

from __future__ import annotations

from itertools import combinations, permutations
from typing import Any

import numpy as np
from scipy import special

from tests.relaxations.case import Bad, Case
from tests.relaxations.facts import (
    BAD_TEMPERATURE,
    DISCRETE,
    NAN,
    PROB_ROW_BATCH,
    PROB_ROWS,
    ROW_BATCH,
    ROWS,
    VECTOR,
)
from tests.relaxations.laws import Discrete, Implicit, Law


def k_of_n(k: int, probs: Any = None, logits: Any = None) -> Law:
    """Independent bits, those of sum k alone."""
    p = special.expit(logits) if probs is None else np.asarray(probs, float)
    subsets = np.array(list(combinations(range(len(p)), k)))
    values = np.eye(len(p))[subsets].sum(1)
    chances = np.where(values == 1, p, 1 - p).prod(-1)
    return Discrete(values, chances / chances.sum())


def marginals(noise: Any, **params: Any) -> np.ndarray:
    """What a straight-through subset's gradient is that of: the mean, whatever the noise."""
    law = k_of_n(**params)
    return np.broadcast_to(law.probs @ law.values, noise.shape)


def subsets() -> list[Case]:
    bad = (
        *(Bad({"k": k}, "k", structural=True) for k in (4, 0, 1.5)),
        Bad({"probs": np.array([0.5, 1.2, 0.1]), "logits": None}, "probs"),
        Bad({"logits": np.array([0.1, NAN, 0.2])}, "logits"),
        Bad({"probs": None, "logits": None}, "probs, logits", structural=True),
    )
    out = []
    for name, surrogate in (("ConditionalBernoulli", None), ("SubsetStraightThrough", marginals)):
        for label, rows in (("logits", ROW_BATCH), ("probs", PROB_ROW_BATCH)):
            first = label == "logits"
            out.append(
                Case(
                    name,
                    label,
                    {"k": 2, label: rows},
                    k_of_n,
                    VECTOR,
                    surrogate=surrogate,
                    gives=DISCRETE,
                    extremes=({"k": 2, "logits": ROWS}, {"k": 1, "probs": PROB_ROWS})
                    if first
                    else (),
                    bad=bad if first else (),
                    reparameterized=surrogate is not None,
                )
            )
    return out


def plackett_luce(logits: Any) -> Law:
    """Every ordering: each place by the weights of the items that are left."""
    weights = np.exp(np.asarray(logits, float))
    orders = list(permutations(range(len(weights))))
    chances = [
        np.prod([weights[s[i]] / weights[list(s[i:])].sum() for i in range(len(s))]) for s in orders
    ]
    return Discrete(np.array(orders), chances)


def orderings() -> list[Case]:
    case = Case(
        "PlackettLuce",
        "logits",
        {"logits": ROW_BATCH},
        plackett_luce,
        VECTOR,
        gives=frozenset({"entropy"}),
        extremes=({"logits": ROWS},),
        bad=(
            Bad({"logits": np.array([0.1, NAN, 0.2])}, "logits"),
            Bad({"logits": 0.3}, "logits", structural=True),
            Bad({"logits": None}, "logits", structural=True),
        ),
        reparameterized=False,
        whole=True,
    )
    return [case]


def sinkhorn(temperature: Any, logits: Any, iterations: int = 20) -> Law:
    """Columns and rows normalised in turn, in plain numbers."""
    size = len(logits)

    def sample(rng, n):
        x = np.exp((logits - np.log(rng.exponential(size=(n, size, size)))) / temperature)
        for _ in range(iterations):
            x = x / x.sum(-2, keepdims=True)
            x = x / x.sum(-1, keepdims=True)
        return x

    return Implicit((size, size), sample)


def matchings() -> list[Case]:
    square = np.array([ROW_BATCH[0], -ROW_BATCH[1], [0.0, 0.4, 0.1]])
    square = np.stack([square, -square])
    case = Case(
        "GumbelSinkhorn",
        "soft",
        {"temperature": np.array([0.8, 1.5]), "logits": square, "iterations": 5},
        sinkhorn,
        {"logits": 2},
        gives=frozenset(),
        extremes=(
            {"temperature": np.array([1e-3, 0.1, 1.0, 1e2]), "logits": ROWS[:3], "iterations": 4},
        ),
        bad=(
            *BAD_TEMPERATURE,
            Bad({"logits": NAN * square}, "logits"),
            Bad({"logits": square[0, :2]}, "logits", structural=True),
            Bad({"iterations": 0}, "iterations", structural=True),
        ),
        density=False,
    )
    return [case]
