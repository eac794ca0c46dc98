"""Every pair with a rule, with twenty random settings of its parameters as one batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.adapter import Host

SETTINGS = 20
K = 3

Params = dict[str, Any]


@dataclass(frozen=True)
class Pair:
    """Two classes with a rule.

    :param p: the first class; "host." marks the host's own.
    :param q: the second.
    :param params: from a generator to the parameters of p and of q.
    :param space: where the oracle sums or integrates: support, unit, real, simplex, log_simplex.
    :param only: the one host that has the pair; None for both.
    """

    p: str
    q: str
    params: Callable[[np.random.Generator], tuple[Params, Params]]
    space: str
    only: str | None = None

    def __str__(self) -> str:
        return f"{self.p}|{self.q}-{self.params.__name__}"


def _logits(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return 1.5 * rng.normal(size=(SETTINGS, *shape))


def _simplex(rng: np.random.Generator) -> np.ndarray:
    return rng.dirichlet(2.0 * np.ones(K), size=SETTINGS)


def _positive(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.uniform(0.6, 1.5, size=(SETTINGS, *shape))


def binary(rng):
    return {"logits": _logits(rng)}, {"logits": _logits(rng)}


def binary_of_probs(rng):
    return {"probs": rng.uniform(0.02, 0.98, SETTINGS)}, {"logits": _logits(rng)}


def binary_to_probs(rng):
    return {"logits": _logits(rng)}, {"probs": rng.uniform(0.02, 0.98, SETTINGS)}


def binary_with(*names_p: str):
    def made(names_q: tuple[str, ...] = names_p):
        def temperatures(rng):
            p, q = binary(rng)
            return (
                p | {n: _positive(rng) for n in names_p},
                q | {n: _positive(rng) for n in names_q},
            )

        return temperatures

    return made


def classes(rng):
    return {"logits": _logits(rng, K)}, {"logits": _logits(rng, K)}


def classes_of_probs(rng):
    return {"probs": _simplex(rng)}, {"logits": _logits(rng, K)}


def classes_with(names_p: tuple[str, ...], names_q: tuple[str, ...], **flags: Any):
    def temperatures(rng):
        p, q = classes(rng)
        return (
            p | {n: _positive(rng) for n in names_p} | (flags if len(names_p) == 2 else {}),
            q | {n: _positive(rng) for n in names_q} | (flags if len(names_q) == 2 else {}),
        )

    return temperatures


def equal_temperature(rng):
    temperature = _positive(rng)
    return (
        {"temperature": temperature, "logits": _logits(rng)},
        {"temperature": temperature, "logits": _logits(rng)},
    )


def equal_temperature_of_classes(rng):
    temperature = _positive(rng)
    return (
        {"temperature": temperature, "logits": _logits(rng, K)},
        {"temperature": temperature, "logits": _logits(rng, K)},
    )


def one_temperature_of_classes(rng):
    # The host's class takes a temperature for the whole batch.
    return (
        {"temperature": 0.8, "logits": _logits(rng, K)},
        {"temperature": 0.8, "logits": _logits(rng, K)},
    )


def gaussian(rng):
    return tuple(
        {
            "temperature": _positive(rng),
            "loc": _logits(rng, K - 1) / 2,
            "scale": _positive(rng, K - 1),
            "delta": _positive(rng),
        }
        for _ in range(2)
    )


def _covariance(rng: np.random.Generator, kind: str) -> Params:
    root = np.tril(0.4 * rng.normal(size=(SETTINGS, K, K)), -1)
    tril = root + np.eye(K) * _positive(rng, K)[..., None]
    match kind:
        case "scale":
            return {"scale": _positive(rng, K)}
        case "scale_tril":
            return {"scale_tril": tril}
        case "covariance_matrix":
            return {"covariance_matrix": tril @ np.swapaxes(tril, -1, -2)}
    return {"cov_factor": 0.5 * rng.normal(size=(SETTINGS, K, 2)), "cov_diag": _positive(rng, K)}


def normal(kind_p: str, kind_q: str):
    def made(rng):
        return (
            {"loc": _logits(rng, K) / 2} | _covariance(rng, kind_p),
            {"loc": _logits(rng, K) / 2} | _covariance(rng, kind_q),
        )

    made.__name__ = f"{kind_p}-{kind_q}"
    return made


def chains(rng):
    return tuple(
        {"initial_logits": _logits(rng, K), "transition_logits": _logits(rng, 2, K, K)}
        for _ in range(2)
    )


def subsets(rng):
    return tuple({"k": 2, "logits": _logits(rng, K)} for _ in range(2))


def numbers(rng):
    values = np.array([0.0, 1.0, 4.0])
    return tuple(
        {"values": values, "temperature": _positive(rng), "logits": _logits(rng, K), "hard": True}
        for _ in range(2)
    )


_t = ("temperature",)
_two = ("temperature_forward", "temperature_backward")
_st, _rst = "StraightThroughBernoulli", "RelaxedBernoulliStraightThrough"
_one, _st1 = "OneHotCategorical", "RelaxedOneHotCategoricalStraightThrough"
_dst = "DecoupledStraightThroughGumbelSoftmax"

PAIRS = [
    Pair(_st, _st, binary, "support"),
    Pair(_st, _st, binary_of_probs, "support"),
    Pair(_rst, _rst, binary_with("temperature")(), "support"),
    Pair(_st, _rst, binary_with()(_t), "support"),
    Pair(_rst, _st, binary_with("temperature")(()), "support"),
    Pair(_st, "host.Bernoulli", binary, "support"),
    Pair("host.Bernoulli", _rst, binary_with()(_t), "support"),
    Pair("host.Bernoulli", "host.Bernoulli", binary, "support", "numpyro"),
    Pair("host.Bernoulli", "host.Bernoulli", binary_of_probs, "support", "numpyro"),
    Pair("host.Bernoulli", "host.Bernoulli", binary_to_probs, "support", "numpyro"),
    Pair("host.Categorical", "host.Categorical", classes, "support", "numpyro"),
    Pair("host.Categorical", "host.Categorical", classes_of_probs, "support", "numpyro"),
    Pair(_one, _one, classes, "support"),
    Pair(_one, _one, classes_of_probs, "support"),
    Pair(_st1, _st1, classes_with(_t, _t), "support"),
    Pair(_one, _st1, classes_with((), _t), "support"),
    Pair(_dst, _one, classes_with(_two, ()), "support"),
    Pair(_st1, _dst, classes_with(_t, _two, scale_logits=True), "support"),
    Pair("ReinMaxBernoulli", "GumbelRaoBernoulli", binary_with("temperature")(), "support"),
    Pair("GumbelRaoOneHotCategorical", "ReinMaxOneHotCategorical", classes_with(_t, _t), "support"),
    Pair("ConditionalBernoulli", "SubsetStraightThrough", subsets, "support"),
    Pair("MarkovChain", "MarkovChain", chains, "support"),
    Pair("GeneralizedGumbelSoftmax", "GeneralizedGumbelSoftmax", numbers, "support"),
    Pair("RelaxedBernoulli", "RelaxedBernoulli", equal_temperature, "unit"),
    Pair("RebarRelaxation", "RebarRelaxation", equal_temperature, "unit"),
    Pair("RebarRelaxation", "RelaxedBernoulli", equal_temperature, "unit"),
    Pair("host.RelaxedBernoulli", "host.RelaxedBernoulli", equal_temperature, "unit"),
    Pair("RelaxedBernoulli", "host.RelaxedBernoulli", equal_temperature, "unit", "numpyro"),
    Pair("LogitRelaxedBernoulli", "LogitRelaxedBernoulli", equal_temperature, "real"),
    Pair(
        "RelaxedOneHotCategorical",
        "RelaxedOneHotCategorical",
        equal_temperature_of_classes,
        "simplex",
    ),
    Pair(
        "host.RelaxedOneHotCategorical",
        "host.RelaxedOneHotCategorical",
        one_temperature_of_classes,
        "simplex",
        "pyro",
    ),
    Pair(
        "ExpRelaxedOneHotCategorical",
        "ExpRelaxedOneHotCategorical",
        equal_temperature_of_classes,
        "log_simplex",
    ),
    Pair("InvertibleGaussian", "InvertibleGaussian", gaussian, "simplex"),
    *(
        Pair("LogisticNormalSoftmax", "LogisticNormalSoftmax", normal(*kinds), "simplex")
        for kinds in (
            ("scale", "scale"),
            ("scale_tril", "scale_tril"),
            ("scale", "covariance_matrix"),
            ("low_rank", "low_rank"),
            ("low_rank", "scale"),
        )
    ),
]

WITH_RULE = {name for pair in PAIRS for name in (pair.p, pair.q)}


def build(host: Host, cls: str, params: Params, dtype: str = "float64") -> Any:
    """The distribution with these parameters, arrays of the host or NumPy's; flags as they are."""
    module = host.dist if cls.startswith("host.") else host.rx
    given = {
        n: host.array(v, dtype) if isinstance(v, np.ndarray | float) else v
        for n, v in params.items()
    }
    return getattr(module, cls.removeprefix("host."))(**given)
