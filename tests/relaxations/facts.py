"""Facts that several classes share: batches, extremes, what must be refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tests.relaxations.case import Bad, Case, Params

ALL = frozenset({"mean", "variance", "entropy", "cdf", "icdf"})
DISCRETE = frozenset({"mean", "variance", "entropy"})
TEMPERATURES = [1e-3, 0.1, 1.0, 1e2]
LOGITS = np.array([-88.0, -30.0, 0.0, 30.0, 88.0])[:, None]
PROBS = np.array([0.0, 1e-30, 0.5, 1.0])[:, None]
ROWS = np.array([[88.0, -88.0, 0.0], [-88.0, 88.0, 88.0], [0.0, 0.0, 0.0], [30.0, -30.0, 1.0]])
PROB_ROWS = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.2, 0.3, 0.5], [1e-30, 0.0, 1.0]])

VECTOR = {"probs": 1, "logits": 1}
NAN = float("nan")


def bad_positive(name: str) -> tuple[Bad, ...]:
    """What a positive scalar parameter must refuse."""
    return (
        Bad({name: -1.0}, name),
        Bad({name: 0.0}, name),
        Bad({name: NAN}, name),
        Bad({name: np.array([1.0, -0.5])}, name),
    )


BAD_TEMPERATURE = bad_positive("temperature")
BAD_PROBS = (
    Bad({"probs": 1.2, "logits": None}, "probs"),
    Bad({"probs": np.array([0.5, -0.1]), "logits": None}, "probs"),
    Bad({"logits": NAN}, "logits"),
    Bad({"probs": 0.5, "logits": 0.1}, "probs and logits", structural=True),
    Bad({"probs": None, "logits": None}, "probs, logits", structural=True),
)
BAD_ROWS = (
    Bad({"probs": np.array([0.5, 0.6]), "logits": None}, "probs"),
    Bad({"probs": np.array([[0.5, 0.5], [1.5, -0.5]]), "logits": None}, "probs"),
    Bad({"logits": np.array([0.1, NAN])}, "logits"),
    Bad({"logits": 0.3}, "logits", structural=True),
    Bad({"probs": [0.5, 0.5], "logits": [0.1, 0.2]}, "probs and logits", structural=True),
    Bad({"probs": None, "logits": None}, "probs, logits", structural=True),
)

LOGIT_BATCH = np.array([-1.2, 0.3, 1.7])
PROB_BATCH = np.array([0.2, 0.55, 0.9])
ROW_BATCH = np.array([[0.3, -0.8, 0.5], [1.5, 0.0, -0.4]])
PROB_ROW_BATCH = np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]])
SIX = np.array([[0.4, -0.3, 0.0, 1.1, -1.0, 0.2]])


def binary(name: str, law: Callable, **facts: Any) -> list[Case]:
    """A scalar class with a temperature and probs or logits."""
    facts = {
        "bad": BAD_TEMPERATURE + BAD_PROBS,
        "extremes": (
            {"temperature": TEMPERATURES, "logits": LOGITS},
            {"temperature": TEMPERATURES, "probs": PROBS},
        ),
        **facts,
    }
    temperature = np.array([0.5, 1.0, 2.0])
    cases = [
        Case(name, "logits", {"temperature": temperature, "logits": LOGIT_BATCH}, law, **facts),
        Case(name, "probs", {"temperature": np.array(0.8), "probs": PROB_BATCH}, law, **facts),
    ]
    return once(cases)


def vector(name: str, law: Callable, **facts: Any) -> list[Case]:
    """A class on K-vectors with a temperature and probs or logits."""
    facts = {
        "ranks": VECTOR,
        "bad": BAD_TEMPERATURE + BAD_ROWS,
        "extremes": (
            {"temperature": np.array(TEMPERATURES)[:, None], "logits": ROWS},
            {"temperature": np.array(TEMPERATURES)[:, None], "probs": PROB_ROWS},
        ),
        **facts,
    }
    cases = [
        Case(
            name, "logits", {"temperature": np.array([0.6, 1.4]), "logits": ROW_BATCH}, law, **facts
        ),
        Case(name, "probs", {"temperature": np.array(0.9), "probs": PROB_ROW_BATCH}, law, **facts),
        Case(name, "six", {"temperature": np.array([0.7]), "logits": SIX}, law, **facts),
    ]
    return once(cases)


def once(cases: list[Case]) -> list[Case]:
    """The same, with what must be refused and the extremes on the first only."""
    return [cases[0], *(replace(case, bad=(), extremes=()) for case in cases[1:])]


def without_temperature(cases: list[Case]) -> list[Case]:
    """The same without the temperature, of its parameters and of what is refused."""

    def drop(params: Params) -> Params:
        return {n: v for n, v in params.items() if n != "temperature"}

    return [
        replace(
            case,
            params=drop(case.params),
            extremes=tuple(drop(p) for p in case.extremes),
            bad=tuple(b for b in case.bad if "temperature" not in b.change),
        )
        for case in cases
    ]
