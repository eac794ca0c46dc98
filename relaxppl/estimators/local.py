"""Local gradients of any cost of discrete variables: the estimators on a program of one site."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from relaxppl import ops
from relaxppl.estimators.base import Draws, Estimator, Step, draws_of
from relaxppl.estimators.choice import ESTIMATORS
from relaxppl.estimators.laws import LAWS, Law
from relaxppl.estimators.one_site import SITE, Cost, Given, OneSite, candidate
from relaxppl.estimators.rebar import REBAR, Pullback
from relaxppl.estimators.relax import RELAX, network_control
from relaxppl.ops import Array


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
    estimator: str | Estimator, logits: Array, law: str = "Bernoulli", draws: int = 2
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Returns what noise :func:`local_gradient` takes: by name, its law and its shape.

    :param estimator: its name, or an estimator.
    :param logits: (..., D) log odds, or (..., K) log probabilities.
    :param law: Bernoulli, OneHotCategorical or Categorical.
    :param draws: how many draws an estimator compares that compares them, as rloo does.
    :raises ValueError: for an unknown estimator or law, or where the one does not take the other.
    """
    made = _law(law)(logits).stopped()
    chosen = _chosen(estimator, made, lambda x: x)
    shape = tuple(logits.shape)
    found = {"draw": (made.noise, (draws, *shape) if chosen.compares else shape)}
    if chosen.sees_all_draws:
        return found

    # What else the estimator asks for it says when it runs: here, on a cost of zero.
    def asked(name: str, kind: str, shape: tuple[int, ...]) -> Array:
        found[name] = (kind, shape)
        return ops.broadcast_to(ops.like(logits, 0.0), shape)

    zeros = ops.zeros_like(logits)

    def nothing(x: Array) -> Array:
        cost = 0.0 * ops.cast(x, logits)
        return ops.sum(cost, axis=-1) if len(cost.shape) == len(shape) > 0 else cost

    _alone(OneSite(nothing, made, zeros, asked), chosen, 0.5)
    return found


def local_gradient(
    cost: Cost,
    logits: Array,
    noise: Mapping[str, Array],
    *,
    estimator: str | Estimator = "rebar",
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
    :param estimator: its name (as in ``infer={"estimator": name}``), or an estimator.
    :param law: Bernoulli, OneHotCategorical or Categorical.
    :param temperature: of rebar's relaxed value; positive.
    :param eta: the factor of rebar's control variate.
    :param baseline: subtracted from the cost by score; must not depend on the values.
    :param control_variate: of relax: from relaxed values at temperature one, of the logits' shape,
        to what broadcasts against the logits.
    :raises ValueError: for an unknown estimator or law, or where the estimator cannot run.

    Sources: see the estimators' modules, such as :mod:`relaxppl.estimators.rebar`.
    """
    made = _law(law)(logits).stopped()
    chosen = _chosen(estimator, made, control_variate)
    drawn = ops.stop_gradient(made.hard(made.latent(noise["draw"])))
    value = made.decode(drawn)
    if chosen.sees_all_draws:
        several = len(drawn.shape) > len(logits.shape)
        each = [drawn[k] for k in range(drawn.shape[0])] if several else [drawn]
        chosen.check(candidate(made), len(each))
        costs = [cost(made.decode(x)) for x in each]
        h = _together(costs, each, made, chosen)
        scores = sum((made.score(x) for x in each[1:]), made.score(each[0])) / float(len(each))
        gradient = ops.stop_gradient(h - baseline * scores)
        return LocalGradient(sum(costs[1:], costs[0]) / float(len(each)), gradient, value, None)
    program = OneSite(cost, made, drawn, lambda name, kind, shape: noise[name])
    h, rest = _alone(program, chosen, temperature)
    if rest is None:
        return LocalGradient(program.cost, h, value, None)
    # h is linear in eta, and was computed at 1; eta does not reach a control of the caller's own.
    factor = eta if chosen.relaxes(type(made)) else 1.0
    gradient = ops.stop_gradient(rest + factor * (h - rest))
    return LocalGradient(program.cost, gradient, value, h - rest)


def _alone(
    program: OneSite, estimator: Any, temperature: float | Array
) -> tuple[Array, Array | None]:
    """Returns h, and what of it is not the control variate, for an estimator that has one."""

    def at(eta: float) -> tuple[Array, Step]:
        learned, flags = Given(temperature, eta), {estimator.every: False}
        step = Step(program, {SITE: estimator}, learned, lambda name: True, flags)
        return ops.stop_gradient(estimator.family.local(step, [SITE])[SITE]), step

    h, step = at(1.0)
    if not isinstance(estimator, REBAR):
        return h, None
    if estimator.debias != 1.0:
        return h, at(0.0)[0]
    return h, ops.stop_gradient(REBAR.without_program(estimator, step, SITE)[0])


def _together(costs: list[Array], drawn: list[Array], law: Law, estimator: Estimator) -> Array:
    """Returns the mean of h over draws that the estimator sees together."""

    def surrogate(logits: Array) -> tuple[Array, tuple[()]]:
        free, each = type(law)(logits), []
        for known, hard in zip(costs, drawn, strict=True):
            program = OneSite(functools.partial(_constant, known), free, hard, None)
            each.append(draws_of(program, program.sites[SITE]))
        log_q, cost = (ops.stack([d[i] for d in each], axis=0) for i in range(2))
        draws = Draws(log_q, cost, None, each[0].scale)
        return estimator.compare(SITE, draws, Given(), 0), ()

    return ops.value_and_grad(surrogate, law.logits)[1] / float(len(drawn))


@dataclass(frozen=True)
class _OwnControl(RELAX):
    """RELAX with a control variate that the caller gives in place of its network."""

    function: Callable[[Array], Array] = lambda x: x

    def relaxes(self, law: type[Law] | None) -> bool:
        return False

    def without_program(self, step: Step, name: str) -> tuple[Array, Pullback]:
        h, pullback = REBAR.without_program(self, step, name)
        return h + network_control(step.draw(name), self.function), pullback


def _constant(cost: Array, value: Array) -> Array:
    return cost


def _law(name: str) -> type[Law]:
    if name not in LAWS:
        raise ValueError(f"unknown law {name!r}; known: {', '.join(sorted(LAWS))}")
    return LAWS[name]


def _chosen(
    estimator: str | Estimator, law: Law, control_variate: Callable[[Array], Array] | None
) -> Any:
    if isinstance(estimator, str):
        if estimator not in ESTIMATORS:
            raise ValueError(f"unknown estimator {estimator!r}; known: {', '.join(ESTIMATORS)}")
        estimator = ESTIMATORS[estimator]()
    if isinstance(estimator, RELAX):
        if control_variate is None:
            raise ValueError("relax needs control_variate, a function of the relaxed value")
        return _OwnControl(function=control_variate)
    if estimator.multi_sample:
        raise ValueError(
            f"{estimator.name} has the gradient of a bound of several draws, not that of a mean "
            "cost; rloo compares draws of a cost"
        )
    if not estimator.takes(candidate(law)):
        able = [
            name
            for name, kind in ESTIMATORS.items()
            if kind().takes(candidate(law)) and not kind.multi_sample
        ]
        raise ValueError(
            f"{estimator.name} does not take {law.name}; those that do: {', '.join(able)}"
        )
    return estimator
