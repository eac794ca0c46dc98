"""ARMS: local gradients from several antithetic draws, which a Dirichlet copula makes.

Dimitriev & Zhou, 2021 (arXiv:2105.14141). With d ~ Dirichlet(1, ..., 1) in n parts, every
u_i = (1 - d_i)^(n - 1) is uniform, and any two of them lie apart more than independent ones would.
With b_i = [u_i < p],

    h = 1 / (n - 1) sum_i (f(b_i) - mean f) (b_i - p) / (1 - rho),

rho the correlation of two of the b. It is that of leave-one-out at rho = 0, and DisARM's at n = 2.
A category is the first success among K - 1 Bernoullis that break a stick, and not drawn from one
copula, as of CARMS (Dimitriev & Zhou, 2021, arXiv:2110.14002).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from relaxppl import ops
from relaxppl.estimators.base import OTHER, Arrays, Estimator, Step
from relaxppl.estimators.laws import Bernoulli, Categorical, Law, OneHotCategorical, total
from relaxppl.estimators.program import levels
from relaxppl.estimators.sticks import first_success, stick_logits
from relaxppl.ops import Array


@dataclass(frozen=True)
class ARMS(Estimator):
    """Several antithetic draws: one more evaluation of the model for each but the first.

    Sites that do not depend on each other are drawn again together, others in evaluations apart.

    :param num_draws: how many draws are compared, at least 2. Of :class:`ARMS_ELBO` it is
        ``num_particles``.

    Dimitriev & Zhou, 2021 (arXiv:2105.14141).
    """

    name = "arms"
    laws = (Bernoulli, OneHotCategorical, Categorical)
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
    draws, costs = {}, {}
    for name in level:
        site, law = step.site(name), step.law(name)
        bits = Bernoulli(stick_logits(law.logits) if law.rank else law.logits)
        shape = (count + law.rank, *bits.logits.shape)
        noise = step.program.noise("logistic", shape, site, OTHER)
        hard = ops.stop_gradient(law.encode(site.value))
        draws[name] = Sticks(law, hard, noise) if law.rank else Bits(law, hard, noise)
        costs[name] = [step.reward(name)]
    for i in range(1, count):
        at = {
            n: ops.cast(step.law(n).decode(draws[n].values[i]), step.site(n).value) for n in level
        }
        terms = step.program.evaluate(at)
        for name in level:
            costs[name].append(step.cost(terms, name))
    return {name: draws[name].local_gradient(costs[name]) for name in level}


class Bits:
    """Antithetic draws of Bernoullis.

    :param law: the Bernoullis; their parameters are stopped here.
    :param hard: the draw that is given, (*shape).
    :param noise: standard logistic, independent of the draw, (n, *shape).
    """

    def __init__(self, law: Law, hard: Array, noise: Array) -> None:
        self.law = law.stopped()
        self.values = antithetic(self.law, hard, noise)

    def local_gradient(self, costs: list[Array]) -> Array:
        """Returns h, of the logits' shape, from a cost for each draw."""
        return local_gradient(self.law, self.values, costs)


class Sticks:
    """Antithetic draws of categories, each the first success among K - 1 antithetic Bernoullis.

    A stick that neither of two draws came to says nothing about their costs: of two draws that
    differ it is left out.

    :param law: the categories; their parameters are stopped here.
    :param hard: the encoded draw that is given, (*batch, K).
    :param noise: standard logistic, independent of the draw, (n + 1, *batch, K - 1).
    """

    def __init__(self, law: Law, hard: Array, noise: Array) -> None:
        self.law = law.stopped()
        self.sticks = Bernoulli(stick_logits(self.law.logits))
        # Sticks before the class failed, its own succeeded; those after it were never tossed.
        fresh = ops.cast(self.sticks.logits + noise[-1] > 0, hard)
        bits = ops.where(_reached(hard) > 0.5, hard[..., :-1], fresh)
        self.bits = antithetic(self.sticks, bits, noise[:-1])
        self.values = first_success(self.bits)

    def local_gradient(self, costs: list[Array]) -> Array:
        """Returns h, of the logits' shape, from a cost for each draw."""
        count, reached, h = len(costs), _reached(self.values), ops.zeros_like(self.sticks.logits)
        for i in range(count):
            for j in range(i):
                used = ops.maximum(reached[i], reached[j])
                h = h + (costs[i] - costs[j]) * (self.bits[i] - self.bits[j]) * used
        h = h / (count * (count - 1.0) * (1.0 - correlation(self.sticks, count)))

        def pulled(logits: Array) -> tuple[Array, tuple[()]]:
            return total(stick_logits(logits) * h), ()

        return ops.value_and_grad(pulled, self.law.logits)[1]


def _reached(hard: Array) -> Array:
    """Returns which sticks a draw came to, (..., K - 1)."""
    return 1.0 - (ops.cumsum(hard, axis=-1) - hard)[..., :-1]


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
    # A p that underflows is that of a variable that never moves.
    return (both - p**2) / ops.at_least(p * (1.0 - p), ops.tiny(p))


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
