"""ARMS: local gradients from several antithetic draws, which a Dirichlet copula makes.

Dimitriev & Zhou, 2021 (arXiv:2105.14141). With d ~ Dirichlet(1, ..., 1) in n parts, every
u_i = (1 - d_i)^(n - 1) is uniform, and any two of them lie apart more than independent ones would.
With b_i = [u_i < p],

    h = 1 / (n - 1) sum_i (f(b_i) - mean f) (b_i - p) / (1 - rho),

rho the correlation of two of the b. It is that of leave-one-out at rho = 0, and DisARM's at n = 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from relaxppl import ops
from relaxppl.estimators.base import OTHER, Arrays, Estimator, Step
from relaxppl.estimators.laws import Bernoulli, Law
from relaxppl.estimators.program import levels
from relaxppl.ops import Array


@dataclass(frozen=True)
class ARMS(Estimator):
    """Several antithetic draws of a level: one more evaluation of the model for each but the first.

    :param num_draws: how many draws are compared, at least 2. Of :class:`ARMS_ELBO` it is
        ``num_particles``.

    Dimitriev & Zhou, 2021 (arXiv:2105.14141).
    """

    name = "arms"
    laws = (Bernoulli,)
    default_particles = 2
    set_by_particles = frozenset({"num_draws"})

    num_draws: int = 4

    def checks(self) -> dict[str, tuple[bool, str]]:
        return {"num_draws": (self.num_draws >= 2, "at least 2")}

    @classmethod
    def for_elbo(cls, num_particles: int, options: dict[str, Any]) -> tuple[ARMS, int]:
        if num_particles < 2:
            raise ValueError(f"ARMS_ELBO needs num_particles >= 2, got {num_particles}")
        return cls(num_draws=num_particles, **options), 1

    @classmethod
    def local(cls, step: Step, names: list[str]) -> Arrays:
        found: Arrays = {}
        # Draws are compared in one evaluation where there are as many of them.
        for count in sorted({step.chosen[n].num_draws for n in names}):
            group = [n for n in names if step.chosen[n].num_draws == count]
            for level in levels(step.program.sites, group):
                found.update(_level(step, level, count))
        return found


def _level(step: Step, level: tuple[str, ...], count: int) -> Arrays:
    values, costs = {}, {}
    for name in level:
        site, law = step.site(name), step.law(name).stopped()
        shape = (count, *law.logits.shape)
        noise = step.program.noise("logistic", shape, site, OTHER)
        values[name] = antithetic(law, ops.stop_gradient(law.encode(site.value)), noise)
        costs[name] = [step.reward(name)]
    for i in range(1, count):
        at = {n: ops.cast(values[n][i], step.site(n).value) for n in level}
        terms = step.program.evaluate(at)
        for name in level:
            costs[name].append(step.cost(terms, name))
    return {n: local_gradient(step.law(n).stopped(), values[n], costs[n]) for n in level}


def _smaller(law: Law) -> Array:
    """Returns min(p, 1 - p)."""
    return ops.sigmoid(-ops.abs(law.logits))


def antithetic(law: Law, hard: Array, noise: Array) -> Array:
    """Returns draws that are antithetic to one that is given, and that one first, (n, *shape).

    :param law: the Bernoullis.
    :param hard: the draw, (*shape).
    :param noise: standard logistic, independent of the draw, (n, *shape).
    """
    count = noise.shape[0]
    p = _smaller(law)
    # Where p > 1/2 it is the failures that are drawn: the copula's two halves are not alike.
    failures = ops.cast(law.logits > 0, hard)
    success = hard + failures * (1.0 - 2.0 * hard)
    v = ops.sigmoid(noise[0])
    u = success * p * v + (1.0 - success) * (p + (1.0 - p) * v)
    share = 1.0 - ops.exp(ops.log(u) / (count - 1.0))
    # The rest of a flat Dirichlet is a flat Dirichlet: exponentials over their sum.
    parts = ops.softplus(noise[1:])
    d = (1.0 - share) * parts / ops.sum(parts, axis=0)
    # u_i < p, in logs: u_i = (1 - d_i)^(n - 1).
    drawn = ops.cast((count - 1.0) * ops.log1p(-d) < ops.log(p), hard)
    drawn = drawn + failures * (1.0 - 2.0 * drawn)
    return ops.concatenate([hard[None], drawn], axis=0)


def correlation(law: Law, count: int) -> Array:
    """Returns the correlation of two of the draws, (*shape)."""
    p = _smaller(law)
    both = ops.at_least(2.0 * ops.exp(ops.log(p) / (count - 1.0)) - 1.0, 0.0) ** (count - 1)
    return (both - p**2) / (p * (1.0 - p))


def local_gradient(law: Law, values: Array, costs: list[Array]) -> Array:
    """Returns h, of the logits' shape.

    :param law: the Bernoullis.
    :param values: the draws, (n, *shape).
    :param costs: one for each, which broadcasts against the logits.
    """
    count = len(costs)
    mean = sum(costs[1:], costs[0]) / count
    h: Any = 0.0
    for i, cost in enumerate(costs):
        h = h + (cost - mean) * law.score(values[i])
    return h / ((count - 1.0) * (1.0 - correlation(law, count)))
