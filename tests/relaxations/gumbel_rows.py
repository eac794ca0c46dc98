"""The rows of the classes made from Gumbel noise, beyond the plain relaxed one-hot."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tests.relaxations import references as ref
from tests.relaxations import surrogates
from tests.relaxations.case import Bad, Case, Params
from tests.relaxations.facts import (
    ALL,
    BAD_ROWS,
    BAD_TEMPERATURE,
    DISCRETE,
    NAN,
    PROB_ROW_BATCH,
    PROB_ROWS,
    ROW_BATCH,
    ROWS,
    SIX,
    TEMPERATURES,
    VECTOR,
    bad_positive,
    binary,
    once,
    vector,
)

COLUMN = np.array(TEMPERATURES)[:, None]


def decoupled() -> list[Case]:
    facts: Params = {
        "law": ref.one_hot,
        "ranks": VECTOR,
        "gives": DISCRETE,
        "surrogate": surrogates.decoupled,
        "bad": BAD_ROWS
        + bad_positive("temperature_forward")
        + bad_positive("temperature_backward"),
        "extremes": (
            {"temperature_forward": 1.0, "temperature_backward": COLUMN, "logits": ROWS},
            {"temperature_forward": COLUMN, "temperature_backward": 0.1, "probs": PROB_ROWS},
        ),
    }
    name = "DecoupledStraightThroughGumbelSoftmax"
    temperatures = {
        "temperature_forward": np.array([0.3, 2.0]),
        "temperature_backward": np.array([0.8, 1.5]),
    }
    cases = [
        Case(name, "logits", {**temperatures, "logits": ROW_BATCH}, **facts),
        Case(name, "probs", {**temperatures, "probs": PROB_ROW_BATCH}, **facts),
    ]
    return once(cases)


def _relaxed(name: str, extra: Params, laws: tuple[Any, Any], surrogate: Any, bad: Any) -> Any:
    temperature = np.array([0.6, 1.4])
    ranks = {**VECTOR, "values": 1}
    extremes = (
        {**extra, "temperature": COLUMN, "logits": ROWS},
        {**extra, "temperature": COLUMN, "probs": PROB_ROWS},
    )
    bad = BAD_TEMPERATURE + bad
    soft, hard = laws
    out = []
    for label, given in (("logits", ROW_BATCH), ("probs", PROB_ROW_BATCH)):
        params = {**extra, "temperature": temperature, label: given}
        out.append(
            Case(
                name,
                f"hard-{label}",
                {**params, "hard": True},
                hard,
                ranks,
                surrogate=surrogate,
                gives=DISCRETE - {"entropy"},
                extremes=tuple({**e, "hard": True} for e in extremes),
                bad=bad,
            )
        )
        out.append(
            Case(
                name,
                f"soft-{label}",
                params,
                soft,
                ranks,
                gives=frozenset(),
                extremes=extremes,
                density=False,
            )
        )
    return once(out[::2]) + once(out[1::2])


def top_k() -> list[Case]:
    bad = (
        Bad({"k": 4}, "k", structural=True),
        Bad({"k": 0}, "k", structural=True),
        Bad({"k": -1}, "k", structural=True),
        Bad({"probs": [0.5, 0.6, 0.2], "logits": None}, "probs"),
        Bad({"logits": np.array([0.1, NAN, 0.2])}, "logits"),
        Bad({"probs": None, "logits": None}, "probs, logits", structural=True),
    )
    cases = _relaxed(
        "GumbelSoftmaxTopK",
        {"k": 2},
        (ref.soft_top_k, ref.hard_top_k),
        surrogates.top_k,
        tuple(b for b in bad if "probs" not in b.change) + bad[-1:],
    )
    six = {"k": 3, "temperature": np.array([0.5]), "logits": SIX, "hard": True}
    first = cases[0]
    facts = {"ranks": first.ranks, "surrogate": first.surrogate, "gives": first.gives}
    return [*cases, Case("GumbelSoftmaxTopK", "hard-six", six, ref.hard_top_k, **facts)]


def generalized() -> list[Case]:
    bad = (
        Bad({"values": np.array([0.0, 1.0])}, "values", structural=True),
        Bad({"values": np.array([0.0, NAN, 1.0])}, "values"),
        Bad({"hard": "no"}, "hard", structural=True),
        Bad({"logits": np.array([0.1, NAN, 0.2])}, "logits"),
    )
    cases = _relaxed(
        "GeneralizedGumbelSoftmax",
        {"values": np.array([0.5, -1.0, 3.0])},
        (ref.soft_values, ref.hard_values),
        surrogates.weighted_value,
        bad,
    )
    return [replace(c, gives=ALL) if "hard" in c.params else c for c in cases]


def _with_samples(cases: list[Case]) -> list[Case]:
    bad = tuple(Bad({"num_samples": n}, "num_samples", structural=True) for n in (0, -1, "two"))
    return [
        replace(
            case,
            params={**case.params, "num_samples": 3},
            extremes=tuple({**e, "num_samples": 2} for e in case.extremes),
            bad=case.bad and case.bad + bad,
        )
        for case in cases
    ]


def averaged() -> list[Case]:
    """The classes whose gradient is another than one draw's, of the hard value's law."""

    def one_hot(name: str, surrogate: Any) -> list[Case]:
        facts: Params = {"gives": DISCRETE, "surrogate": surrogate, "held": True}
        return vector(name, ref.one_hot, **facts)[:2]

    def bits(name: str, surrogate: Any) -> list[Case]:
        return binary(name, ref.bernoulli, gives=ALL, surrogate=surrogate, held=True)

    return [
        *one_hot("ReinMaxOneHotCategorical", surrogates.reinmax),
        *bits("ReinMaxBernoulli", surrogates.reinmax_binary),
        *_with_samples(one_hot("GumbelRaoOneHotCategorical", surrogates.gumbel_rao)),
        *_with_samples(bits("GumbelRaoBernoulli", surrogates.gumbel_rao_binary)),
    ]
