"""Local gradients of any cost of discrete variables, without a probabilistic program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from relaxppl import ops
from relaxppl.estimators import disarm, rebar
from relaxppl.estimators.laws import Bernoulli, Categorical, Draw, Law, OneHotCategorical
from relaxppl.estimators.relax import network_control
from relaxppl.estimators.rloo import leave_one_out
from relaxppl.ops import Array

LAWS: dict[str, type[Law]] = {
    law.__name__: law for law in (Bernoulli, Categorical, OneHotCategorical)
}
ESTIMATORS = ("score", "rloo", "disarm", "rebar", "relax")


class LocalGradient(NamedTuple):
    """What :func:`local_gradient` returns."""

    cost: Array
    """The cost at the values drawn, as the cost function made it: differentiable in what it knows.
    With several draws, their mean."""
    gradient: Array
    """An unbiased estimate of d E[cost] / d logits, of the logits' shape."""
    value: Array
    """The values drawn; with several draws, along a new first axis."""
    control: Array | None
    """For rebar and relax, d gradient / d eta: the control variate at eta = 1."""


def noise_shapes(
    estimator: str, logits: Array, law: str = "Bernoulli", draws: int = 2
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Returns what noise :func:`local_gradient` takes: by name, its law and its shape.

    :param estimator: one of score, rloo, disarm, rebar, relax.
    :param logits: (..., D) log odds, or (..., K) log probabilities.
    :param law: Bernoulli, OneHotCategorical or Categorical.
    :param draws: how many draws rloo compares.
    :raises ValueError: for an unknown estimator or law.
    """
    made = _law(law)(logits)
    _check(estimator)
    shape = tuple(logits.shape)
    if estimator == "rloo":
        return {"draw": (made.noise, (draws, *shape))}
    needs = {"draw": (made.noise, shape)}
    if estimator == "disarm":
        needs["conditional"] = ("logistic", disarm.noise_shape(made))
    elif estimator != "score":
        needs["conditional"] = (made.noise, shape)
    return needs


def local_gradient(
    cost: Callable[[Array], Array],
    logits: Array,
    noise: Mapping[str, Array],
    *,
    estimator: str = "rebar",
    law: str = "Bernoulli",
    temperature: float | Array = 0.5,
    eta: float | Array = 1.0,
    baseline: float | Array = 0.0,
    control_variate: Callable[[Array], Array] | None = None,
) -> LocalGradient:
    """Estimates the gradient in the logits of E[cost(b)], b drawn from a discrete law.

    To optimise other parameters that the logits depend on, differentiate
    ``sum(stop_gradient(gradient) * logits)``; the cost itself may be a black box (a simulator, a
    game) for every estimator but rebar.

    :param cost: from values (*logits.shape; for Categorical without the last axis) to costs of a
        leading part of the logits' shape: one cost for each group of variables that only it
        depends on. For rebar it also takes relaxed values and is differentiable in them.
    :param logits: (..., D) log odds, or (..., K) log probabilities.
    :param noise: as :func:`noise_shapes` says; standard logistic or Gumbel.
    :param estimator: score, rloo, disarm, rebar or relax.
    :param law: Bernoulli, OneHotCategorical or Categorical.
    :param temperature: of rebar's relaxed value; positive.
    :param eta: the factor of rebar's control variate.
    :param baseline: subtracted from the cost by score; must not depend on the values.
    :param control_variate: of relax: from relaxed values at temperature one, of the logits' shape,
        to what broadcasts against the logits.
    :raises ValueError: for an unknown estimator or law, or where rebar or relax cannot run.

    Sources: see :mod:`relaxppl.estimators.rebar` and :mod:`relaxppl.estimators.disarm`.
    """
    _check(estimator)
    made = _law(law)(logits).stopped()
    drawn = ops.stop_gradient(made.hard(made.latent(noise["draw"])))
    value = made.decode(drawn)

    def aligned(costs: Array, like: Array = logits) -> Array:
        return costs.reshape(tuple(costs.shape) + (1,) * (len(like.shape) - len(costs.shape)))

    if estimator == "rloo":
        each = [cost(value[k]) for k in range(value.shape[0])]
        costs = ops.stack(each, axis=0)
        advantage = aligned(costs - leave_one_out(costs), drawn)
        gradient = ops.sum(advantage * made.score(drawn), axis=0) / drawn.shape[0]
        return LocalGradient(
            ops.sum(costs, axis=0) / len(each), ops.stop_gradient(gradient), value, None
        )

    costs = cost(value)
    reward = aligned(costs)
    if estimator == "score":
        gradient = (reward - baseline) * made.score(drawn)
        return LocalGradient(costs, ops.stop_gradient(gradient), value, None)
    if estimator == "disarm":
        pair = disarm.Antithetic(made, drawn, noise["conditional"])
        mirrored = aligned(cost(made.decode(pair.value)))
        gradient = ops.stop_gradient(pair.local_gradient(reward, mirrored))
        return LocalGradient(costs, gradient, value, None)

    draw = Draw(made, drawn, noise["conditional"])
    if estimator == "relax":
        if control_variate is None:
            raise ValueError("relax needs control_variate, a function of the relaxed value")
        controls = network_control(draw, control_variate)
        gradient = ops.stop_gradient(reward * draw.score() + controls)
        return LocalGradient(costs, gradient, value, ops.stop_gradient(controls))
    if not made.relaxable:
        raise ValueError(
            f"rebar evaluates the cost at relaxed values, and {law} has integer values; "
            "use OneHotCategorical, or relax with a control variate of its own"
        )

    def relaxed(x: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
        soft = cost(x["x"])
        return ops.sum(soft, axis=tuple(range(len(soft.shape)))), {"x": aligned(soft)}

    controls = rebar.control({"x": draw}, relaxed, {"x": ops.like(drawn, 0.0) + temperature})["x"]
    gradient = ops.stop_gradient(reward * draw.score() + eta * controls)
    return LocalGradient(costs, gradient, value, ops.stop_gradient(controls))


def _law(name: str) -> type[Law]:
    if name not in LAWS:
        raise ValueError(f"unknown law {name!r}; known: {', '.join(sorted(LAWS))}")
    return LAWS[name]


def _check(estimator: str) -> None:
    if estimator not in ESTIMATORS:
        raise ValueError(f"unknown estimator {estimator!r}; known: {', '.join(ESTIMATORS)}")
