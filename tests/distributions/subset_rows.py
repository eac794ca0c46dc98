"""The rows of the laws of k of n, and the law by every subset."""

from __future__ import annotations

from itertools import combinations, permutations
from typing import Any

import numpy as np
from scipy import special

from tests.distributions.case import Bad, Case
from tests.distributions.facts import (
    DISCRETE,
    NAN,
    PROB_ROW_BATCH,
    PROB_ROWS,
    ROW_BATCH,
    ROWS,
    VECTOR,
)
from tests.distributions.laws import Discrete, Law


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
