"""The rows of the gates: clipped to [0, 1], with atoms at both ends."""

from __future__ import annotations

import numpy as np

from tests.relaxations import references as ref
from tests.relaxations.case import Bad, Case, Params
from tests.relaxations.facts import (
    BAD_PROBS,
    BAD_TEMPERATURE,
    LOGIT_BATCH,
    LOGITS,
    NAN,
    PROB_BATCH,
    PROBS,
    TEMPERATURES,
    bad_positive,
    once,
)

SCALES = np.array([1e-6, 1e-2, 1.0, 1e2, 1e6])


def gaussian_gate() -> list[Case]:
    params = {"loc": np.array([-0.2, 0.4, 1.3]), "scale": np.array([0.3, 0.5, 0.9])}
    extremes = {
        "loc": np.array([-88.0, -1.0, 0.0, 0.5, 1.0, 88.0])[:, None],
        "scale": SCALES,
    }
    bad = (Bad({"loc": NAN}, "loc"), *bad_positive("scale"))
    return [
        Case(
            "GaussianRelaxedBernoulli",
            "main",
            params,
            ref.gaussian_gate,
            gives=frozenset({"mean", "variance", "cdf"}),
            extremes=(extremes,),
            bad=bad,
        )
    ]


def hard_concrete() -> list[Case]:
    facts: Params = {
        "law": ref.hard_concrete,
        "gives": frozenset({"mean", "variance", "cdf"}),
        "extremes": (
            {"temperature": TEMPERATURES, "logits": LOGITS},
            {"temperature": TEMPERATURES, "probs": PROBS},
            {"temperature": TEMPERATURES, "logits": 0.3, "low": -1e-3, "high": 50.0},
        ),
        "bad": BAD_TEMPERATURE
        + BAD_PROBS
        + (
            Bad({"low": 0.2}, "low"),
            Bad({"low": np.array([-0.1, 0.1])}, "low"),
            Bad({"high": 0.9}, "high"),
            Bad({"high": np.array([0.9, 1.1])}, "high"),
        ),
    }
    temperature = np.array([0.4, 0.7, 1.5])
    low, high = np.array([-0.1, -0.3, -0.2]), np.array([1.1, 1.2, 1.4])
    cases = [
        Case("HardConcrete", "default", {"temperature": 2 / 3, "logits": LOGIT_BATCH}, **facts),
        Case(
            "HardConcrete",
            "stretched",
            {"temperature": temperature, "probs": PROB_BATCH, "low": low, "high": high},
            **facts,
        ),
    ]
    return once(cases)
