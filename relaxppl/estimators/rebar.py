"""REBAR: local gradients from relaxed evaluations.

Tucker et al., 2017 (arXiv:1703.07370). For a draw b with
latent z~ given b, and z a latent whose law is that of an unconditional one,

    h = R(b) score(b) + e * control,    control = -c(z~) score(b) + d c(z) - d c(z~),

where d differentiates in the logits through the latent only. The coupling of z and z~ is free. With
z = z~ in value (their derivatives still differ) one relaxed evaluation of the program serves both.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from relaxppl import ops
from relaxppl.estimators import debias as debiasing
from relaxppl.estimators.base import Arrays, Estimator, Parameter, Step
from relaxppl.estimators.control import control, gradients_in_etas, gradients_in_temperatures
from relaxppl.estimators.laws import Bernoulli, Law, OneHotCategorical, total
from relaxppl.estimators.program import Term, zero
from relaxppl.estimators.reach import Part, evaluations
from relaxppl.estimators.site import Candidate
from relaxppl.estimators.straight_through import straight_through
from relaxppl.ops import Array
from relaxppl.schedules import Schedule

Pullback = Callable[[Array], Arrays]


@dataclass(frozen=True)
class REBAR(Estimator):
    """The score function with the model at relaxed values as its control variate.

    :param temperature: of the relaxed values; where learned, its initial value.
    :param eta: the factor of the control variate; where learned, its initial value.
    :param learn: whether temperature and factor are learned for each site, to minimise the
        gradient's variance. None: learned if the guide was prepared by ``prepare``; True: always
        (on NumPyro an error if it was not prepared); False: never.
    :param debias: the weight w in [0, 1] of the unbiased gradient, a number or a schedule of the
        optimiser's steps: the gradient is straight-through plus w times what REBAR has beyond it,
        biased wherever w < 1. A schedule needs ``count_steps`` around SVI's optimiser, and on
        NumPyro ``prepare``. "auto" learns w for each site, to minimise the gradient's squared
        error; it needs ``prepare`` and sites in plates.
    :param coupled: whether the two latents of the control variate share their value. Then one
        relaxed evaluation of the model serves both, at about the same variance; else two.
    :param variance_every: the temperature's gradient is computed every so many steps, on average,
        and multiplied by as much; that of the factor costs nothing and is taken at every step.
    :param depth: how many steps of dependence down the control variate of a site reaches, of the
        discrete sites that depend on it; None for all. Terms further down keep the score function
        alone. A chain then takes ``depth + 2`` relaxed evaluations in place of one for each site.

    Tucker et al., 2017 (arXiv:1703.07370).
    """

    name = "rebar"
    laws: ClassVar[tuple[Any, ...] | None] = (Bernoulli, OneHotCategorical)

    temperature: float = 0.5
    eta: float = 1.0
    learn: bool | None = None
    debias: float | str | Schedule = 1.0
    coupled: bool = True
    variance_every: int = 1
    depth: int | None = None

    def checks(self) -> dict[str, tuple[bool, str]]:
        return {
            "temperature": (self.temperature > 0, "positive"),
            "debias": (debiasing.is_weight(self.debias), debiasing.ALLOWED),
            "variance_every": (self.variance_every >= 1, "a positive integer"),
            "depth": (self.depth is None or self.depth >= 0, "None or at least 0"),
        }

    @property
    def learning(self) -> bool | None:
        return self.learn

    @property
    def relaxed_at(self) -> float | None:
        return self.temperature

    @property
    def every(self) -> int:
        return self.variance_every

    @property
    def family(self) -> type[Estimator]:
        return REBAR

    def relaxes(self, law: type[Law] | None) -> bool:
        """Returns whether the program at relaxed values is in the control variate of a law."""
        return True

    def parameters(self, site: Candidate) -> list[Parameter]:
        if not self.relaxes(site.law):
            return []
        found = [Parameter("step", "count")] if isinstance(self.debias, Schedule) else []
        if self.debias == debiasing.AUTO:
            found.append(Parameter(debiasing.key(site.name), "scalar", debiasing.INITIAL))
        if self.learn is False:
            return found
        prefix, needed = f"{site.name}.estimator", bool(self.learn)
        return [
            *found,
            Parameter(f"{prefix}.temperature", "positive", self.temperature, needed=needed),
            Parameter(f"{prefix}.eta", "scalar", self.eta, needed=needed),
        ]

    def unprepared(self, names: list[str]) -> str | None:
        if self.learn is not None:
            return None
        return (
            f"the temperature and the factor of the control variate at {', '.join(names)} stay at "
            f"{self.temperature:g} and {self.eta:g}, since the guide was not prepared: hand "
            "elbo.prepare(guide) to SVI in place of guide to have them learned, or pass "
            "learn=False to keep them and this message away (at a site, "
            f"infer={{'estimator': {type(self).__name__}(learn=False)}})"
        )

    @classmethod
    def local(cls, step: Step, names: list[str]) -> Arrays:
        found: Arrays = {}
        soft = [n for n in names if step.chosen[n].relaxes(step.site(n).candidate.law)]
        # One is done before the next begins: its graph is as large as all that lies below.
        for parts in evaluations(step, soft, {name: step.chosen[name].depth for name in soft}):
            found.update(_together(step, parts))
        for name in names:
            if name not in soft:
                h, pullback = step.chosen[name].without_program(step, name)
                h = ops.stop_gradient(h)
                step.add_variance_gradients(name, pullback(2.0 * h))
                found[name] = step.of_parameters(name, h)
        return found

    def without_program(self, step: Step, name: str) -> tuple[Array, Pullback]:
        """Returns h without the program's control, and how its gradient reaches what is learned."""
        return step.reward(name) * step.draw(name).score(), lambda cotangent: {}


def _learns(step: Step, name: str) -> bool:
    return step.chosen[name].learning is not False and step.learns(name)


def _temperature(step: Step, name: str, level: tuple[str, ...]) -> Array:
    """Returns a site's temperature; below a level a site of another estimator has the level's."""
    own = step.chosen[name]
    initial = (own if isinstance(own, REBAR) else step.chosen[level[0]]).temperature
    like = step.draw(name).latent
    if not _learns(step, name):
        return step.learned.constant(initial, like)
    return step.learned.read(f"{name}.estimator.temperature", initial, like, positive=True)


def _eta(step: Step, name: str) -> Array:
    initial, like = step.chosen[name].eta, step.draw(name).latent
    if not _learns(step, name):
        return step.learned.constant(initial, like)
    return step.learned.read(f"{name}.estimator.eta", initial, like)


def _together(step: Step, parts: list[Part]) -> Arrays:
    """Returns h of the levels that share one relaxed evaluation."""
    program = step.program
    level = tuple(name for part in parts for name in part.names)
    draws = {name: step.draw(name) for name in level}
    free = {n: step.free(n) for n in level if not step.chosen[n].coupled} or None
    if free is not None:
        free = {n: free.get(n, draws[n].latent) for n in level}
    below = {name: draw for part in parts for name, draw in part.below.items()}
    temperatures = {
        name: _temperature(step, name, part.names)
        for part in parts
        for name in (*part.names, *part.below)
    }

    def kept(term: Term) -> bool:
        return any(part.keeps(term) for part in parts)

    def cost(x: Arrays, given: Arrays) -> tuple[list[Array], Arrays]:
        def soft_value(name: str, law: Law | None) -> Array | None:
            return below[name].soft(given[name], law) if name in below else None

        terms = program.evaluate(x, soft_value, kept)
        totals, costs = [], {}
        for part in parts:
            mine = part.of(terms)
            whole = zero(next(iter(x.values())))
            for term in mine:
                whole = whole + total(term.value)
            totals.append(whole)
            costs.update({name: step.cost(mine, name) for name in part.names})
        return totals, costs

    apart = [part.names for part in parts]

    def controls_at(learned: Arrays) -> Arrays:
        given = {**temperatures, **learned}
        return control(draws, lambda x: cost(x, given), given, free, apart)

    rest, pullbacks = {}, {}
    for name in level:
        rest[name], pullbacks[name] = step.chosen[name].without_program(step, name)
    etas = {name: _eta(step, name) for name in level}
    learned = {n: t for n, t in temperatures.items() if _learns(step, n)}

    def whole(controls: Arrays) -> Arrays:
        return {n: ops.stop_gradient(rest[n] + etas[n] * controls[n]) for n in level}

    def full() -> tuple[Arrays, Arrays]:
        controls, pullback = ops.vjp(controls_at, learned)
        return controls, gradients_in_temperatures(whole(controls), etas, pullback)

    def cheap() -> tuple[Arrays, Arrays]:
        return controls_at({}), {n: ops.zeros_like(t) for n, t in learned.items()}

    every = step.chosen[level[0]].every
    weights = {
        name: debiasing.weight(step.chosen[name].debias, name, step.learned, draws[name].latent)
        for name in level
    }
    automatic = [name for name in level if step.chosen[name].debias == debiasing.AUTO]
    biased = bool(automatic) or functools.reduce(operator.or_, (w < 1.0 for w in weights.values()))
    with program.explained(level):
        if learned and step.flags[every] is not False:
            controls, in_temperature = step.learned.cond(step.flags[every], full, cheap)
        else:
            controls, in_temperature = controls_at({}), {}
    found = whole(controls)
    for name, gradient in in_temperature.items():
        # The steps that are left out are made up for: the mean is that of every step.
        step.add_variance_gradients(name, {"temperature": every * gradient})
    for name, gradient in gradients_in_etas(found, controls).items():
        if name in learned:
            step.add_variance_gradients(name, {"eta": gradient})
        step.add_variance_gradients(name, pullbacks[name](2.0 * found[name]))
    if biased is False:
        return found

    def mixed() -> Arrays:
        start: Arrays = {}
        for part in parts:
            with program.explained(part.names):
                start.update(straight_through(step, part.names, part.below, part.keeps))
        for name in automatic:
            free = debiasing.learned_weight(name, step.learned, found[name])
            learn = debiasing.gradient_in_weight(step.site(name), free, start[name], found[name])
            step.add_variance_gradients(name, {"debias": learn})
        # In this form w = 1 gives REBAR's gradient itself.
        return {n: weights[n] * found[n] + (1.0 - weights[n]) * start[n] for n in level}

    return step.learned.cond(biased, mixed, lambda: found)
