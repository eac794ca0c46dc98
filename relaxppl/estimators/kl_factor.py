"""A learned factor between the sampled and the exact KL of a discrete site: ``exact_kl="learned"``.

With s = log p(b) - log q(b) the two terms of a site at its draw, the bound has (1 - c) s - c KL in
their place, which has the same mean for every factor c, and so has its gradient. The gradient in
the site's logits is linear in c,

    g(c) = h(c) + c k,    dg/dc = k - h_s,

with h what the estimator makes of all costs, k the gradient of -KL and h_s what the estimator makes
of s alone. E|g|^2 is least where the variance is, as for REBAR's eta.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from relaxppl import ops
from relaxppl.estimators.base import Arrays, Draws, Estimator, Parameter, Step
from relaxppl.estimators.laws import Law, total
from relaxppl.estimators.program import Learned, Program, SoftValue, Term, log_ratio_of
from relaxppl.estimators.site import Candidate, Names, Site
from relaxppl.ops import Array

LEARNED = "learned"
INITIAL = 0.0
"""Where the factor starts: at the sampled KL."""


def check(exact_kl: Any) -> None:
    """Checks an ELBO's argument.

    :raises ValueError: if it is none of its values.
    """
    if not (isinstance(exact_kl, bool) or exact_kl == LEARNED):
        raise ValueError(f"exact_kl must be True, False or {LEARNED!r}, got {exact_kl!r}")


def key(name: str) -> str:
    """Returns the name of a site's factor among the parameters."""
    return f"{name}.estimator.exact_kl"


def parameters(site: Candidate, exact_kl: Any) -> list[Parameter]:
    """Returns what an ELBO's argument learns for a discrete site."""
    if exact_kl != LEARNED or site.law is None:
        return []
    return [Parameter(key(site.name), "scalar", INITIAL, needed=False)]


def unprepared(exact_kl: Any, names: list[str]) -> list[str]:
    """Returns the warning where factors were to be learned at some sites and nothing does."""
    if exact_kl != LEARNED or not names:
        return []
    return [
        f"exact_kl={LEARNED!r} learns nothing at {', '.join(names)}, whose KL stays sampled, since "
        "the guide was not prepared: hand elbo.prepare(guide) to SVI in place of guide, or pass "
        "exact_kl=True or False"
    ]


class SiteDraw(NamedTuple):
    """A draw of a site whose factor is learned, for estimators that see all draws."""

    cost: Array
    """s at the draw, (*batch_shape)."""
    score: Array
    """d log q / d logits, of the logits' shape."""
    exact: Array
    """k, of the logits' shape."""


def site_draw(step: Step, name: str) -> SiteDraw:
    """Returns a draw of a site as its factor sees it."""
    law, own = step.law(name).stopped(), log_ratio_of(step.program, name)
    hard = law.encode(step.site(name).value)
    value, exact = _value_and_exact(own, law, hard)
    return SiteDraw(value, law.score(hard), exact)


def learn(step: Step, found: Mapping[str, Array]) -> None:
    """Hands on the gradient of the factors of sites whose draws stand by themselves.

    :param found: h by site.
    """
    names = [n for n in found if n in step.program.factors]
    if not names:
        return
    draws = {n: site_draw(step, n) for n in names}
    alone = {n: step.chosen[n].linear for n in names}
    kept = [n for n in names if not alone[n].sees_all_draws]
    own = Step(
        _Own(step.program, kept),
        alone,
        _ReadOnly(step.learned),
        step.learns,
        {estimator.every: False for estimator in alone.values()},
        step.draws,
    )
    sampled: Arrays = {
        n: step.site(n).aligned(d.cost) * d.score for n, d in draws.items() if n not in kept
    }
    families: dict[type[Estimator], list[str]] = {}
    for name in kept:
        families.setdefault(alone[name].family, []).append(name)
    for family, members in families.items():
        sampled.update(family.local(own, members))
    for name, draw in draws.items():
        _learn(step.learned, name, found[name], draw.exact, sampled[name])


def compare(
    estimator: Estimator, name: str, draws: Draws, own: SiteDraw, learned: Learned, axis: int
) -> Array:
    """Returns :meth:`Estimator.compare` of a site whose factor is learned, and learns it.

    :param own: along the same axis as the draws.
    """

    def slope(estimator: Estimator, draws: Draws, learned: Any) -> Array:
        def surrogate(log_q: Array) -> tuple[Array, tuple[()]]:
            return estimator.compare(name, draws._replace(log_q=log_q), learned, axis), ()

        found = ops.value_and_grad(surrogate, ops.stop_gradient(draws.log_q))[1]
        return ops.stop_gradient(found)

    advantage = slope(estimator, draws, learned)
    sampled = slope(estimator.linear, draws._replace(cost=own.cost), _ReadOnly(learned))

    def h(advantage: Array) -> Array:
        extra = len(own.score.shape) - len(advantage.shape)
        return advantage.reshape(tuple(advantage.shape) + (1,) * extra) * own.score

    _learn(learned, name, h(advantage), own.exact, h(sampled))
    return total(draws.log_q * advantage)


def _learn(learned: Learned, name: str, h: Array, exact: Array, sampled: Array) -> None:
    factor = learned.read(key(name), INITIAL, exact)
    gradient = 2.0 * total((h + factor * exact) * (exact - sampled))
    learned.learn(key(name), ops.stop_gradient(gradient))


def _value_and_exact(own: Callable[[Array], Array], law: Law, hard: Array) -> tuple[Array, Array]:
    """Returns s at a draw, and the gradient of its mean over draws in the logits: s is linear."""

    def summed(x: Array) -> tuple[Array, Array]:
        value = own(x)
        return total(value), value

    _, slope, value = ops.value_and_grad(summed, hard)
    slope = ops.stop_gradient(slope)

    def mean(logits: Array) -> tuple[Array, tuple[()]]:
        return total(slope * type(law)(logits).mean()), ()

    exact = ops.value_and_grad(mean, law.logits)[1]
    return ops.stop_gradient(value), ops.stop_gradient(exact)


class _Own:
    """A program whose only costs are the terms of some sites at their own values."""

    def __init__(self, program: Program, names: list[str]) -> None:
        self.program, self.sites = program, program.sites
        self.functions = {n: log_ratio_of(program, n) for n in names}
        values = {n: program.sites[n] for n in names}
        self.terms = [self._term(n, self._encoded(n, s.value)) for n, s in values.items()]
        self.factors: Mapping[str, Array] = {}

    def _encoded(self, name: str, value: Array) -> Array:
        law = self.sites[name].law
        assert law is not None
        return law.encode(value)

    def _term(self, name: str, encoded: Array) -> Term:
        site = self.sites[name]
        return Term(name, self.functions[name](encoded), site.frames, frozenset({name}))

    def downstream(self, names: Names) -> Names:
        return frozenset()

    def evaluate(
        self,
        at: Mapping[str, Array],
        soft_value: SoftValue | None = None,
        keep: Callable[[Term], bool] = lambda term: True,
    ) -> list[Term]:
        return [self._term(n, self._encoded(n, at[n])) for n in at if n in self.functions]

    def each(self, compute: Callable[[Arrays], Array], values: Arrays) -> Array:
        return self.program.each(compute, values)

    def noise(self, kind: str, shape: tuple[int, ...], site: Site, use: int) -> Array:
        return self.program.noise(kind, shape, site, use)

    def log_ratio(self, name: str, encoded: Array) -> Array:
        return self.functions[name](encoded)

    def explained(self, level: tuple[str, ...]) -> AbstractContextManager[None]:
        return self.program.explained(level)


class _ReadOnly:
    """What is learned, for a run that adds nothing to it."""

    def __init__(self, learned: Learned) -> None:
        self.learned = learned

    def learn(self, name: str, gradient: Array) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self.learned, name)
