"""The gradient of every discrete site of a program, by the estimator that was chosen for it.

First each draw by itself (:class:`LocalGradients`), then what compares the draws
(:func:`score_surrogate`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from relaxppl import ops
from relaxppl.estimators import disarm, network, rebar, score
from relaxppl.estimators.laws import Draw, Law, total
from relaxppl.estimators.plan import Options, Plan
from relaxppl.estimators.program import (
    Learned,
    Program,
    Site,
    Term,
    depending,
    levels,
    reduce_to,
    reward,
    zero,
)
from relaxppl.relaxations.base import Array

Arrays = dict[str, Array]

DRAW, FREE, MIRROR = range(3)
"""What a site's noise is for: the latent behind its value, a second latent, the antithetic pair."""


class LocalGradients:
    """The local gradients of one draw of a program, level by level.

    :param program: after its first run.
    :param plan: the estimator of each site.
    :param options: of the estimators.
    :param learned: their parameters.
    :param learns: whether the temperature and the factor of a site are learned.
    :param tangents: whether the temperatures learn in this step; may be traced.
    """

    def __init__(
        self,
        program: Program,
        plan: Plan,
        options: Options,
        learned: Learned,
        learns: Callable[[str], bool],
        tangents: Any,
    ) -> None:
        self.program, self.plan, self.options = program, plan, options
        self.learned, self.tangents = learned, tangents
        self.learns = {n: options.learn is not False and learns(n) for n in plan.soft}
        self._draws: dict[str, Draw] = {}

    def surrogate(self) -> Array:
        """Returns a sum whose gradient in the logits is the estimate, ()."""
        surrogate: Any = 0.0
        for name, h in {**self.antithetic(), **self.pathwise()}.items():
            surrogate = surrogate + total(ops.stop_gradient(h) * self._law(name).logits)
        return surrogate

    def antithetic(self) -> Arrays:
        """Returns h by site for DisARM: one more hard evaluation for each level."""
        found: Arrays = {}
        for level in levels(self.program.sites, self.plan.of("disarm")):
            pairs, at = {}, {}
            for name in level:
                site, law = self.program.sites[name], self._law(name)
                noise = self.program.noise("logistic", disarm.noise_shape(law), site, MIRROR)
                pairs[name] = disarm.Antithetic(law, law.encode(site.value), noise)
                at[name] = ops.cast(law.decode(pairs[name].value), site.value)
            terms = self.program.evaluate(at)
            for name, pair in pairs.items():
                mirrored = self._cost(terms, name)
                found[name] = pair.local_gradient(self._reward(name), mirrored)
        return found

    def pathwise(self) -> Arrays:
        """Returns h by site for REBAR and RELAX, and hands on what their variance teaches."""
        found: Arrays = {}
        # A level is done before the next begins: its graph is as large as all that lies below.
        for level in levels(self.program.sites, self.plan.soft):
            found.update(self._relaxed(level))
        for name in self.plan.networks:
            if name not in self.plan.soft:
                h, pullback = self._without_program(name)
                found[name] = ops.stop_gradient(h)
                self._teach(name, pullback(2.0 * found[name]))
        return found

    def _law(self, name: str) -> Law:
        law = self.program.sites[name].law
        assert law is not None
        return law

    def _draw(self, name: str) -> Draw:
        """Returns a site's draw together with its latent; made at the first use."""
        if name not in self._draws:
            site, law = self.program.sites[name], self._law(name)
            noise = self.program.noise(law.noise, tuple(law.logits.shape), site, DRAW)
            self._draws[name] = Draw(law, law.encode(site.value), noise)
        return self._draws[name]

    def _free(self, name: str) -> Array | None:
        """Returns a latent that does not depend on the draw, where that is wanted."""
        if self.options.coupled:
            return None
        law = self._draw(name).law
        shape = tuple(law.logits.shape)
        return law.latent(self.program.noise(law.noise, shape, self.program.sites[name], FREE))

    def _reward(self, name: str) -> Array:
        site = self.program.sites[name]
        return site.aligned(reward(self.program, site))

    def _cost(self, terms: Any, name: str) -> Array:
        site = self.program.sites[name]
        return site.aligned(reduce_to(depending(terms, name), site.frames, self._law(name).logits))

    def _temperature(self, name: str) -> Array:
        like, initial = self._draw(name).latent, self.options.temperature
        if not self.learns.get(name):
            return self.learned.constant(initial, like)
        return self.learned.read(f"{name}.estimator.temperature", initial, like, positive=True)

    def _eta(self, name: str) -> Array:
        like = self._draw(name).latent
        if not self.learns.get(name):
            return self.learned.constant(self.options.eta, like)
        return self.learned.read(f"{name}.estimator.eta", self.options.eta, like)

    def _relaxed(self, level: tuple[str, ...]) -> Arrays:
        program = self.program
        draws = {name: self._draw(name) for name in level}
        free = None if self.options.coupled else {name: self._free(name) for name in level}
        discrete = program.downstream(frozenset(level)) & program.sites.keys()
        # A downstream draw must not first be made inside a transformation.
        below = {n: self._draw(n) for n in program.sites if n in discrete and self._relaxable(n)}
        # What cannot be relaxed would move by jumps that no path derivative sees, and so does what
        # depends on a comparison or leaves the backend: such terms are left out, and the control
        # variate stays unbiased.
        blocked, moved = discrete - below.keys(), {*level, *below}

        def smooth(term: Term) -> bool:
            return not (term.deps & blocked or term.jumps & moved)

        temperatures = {name: self._temperature(name) for name in (*draws, *below)}

        def cost(x: Arrays, given: Arrays) -> tuple[Array, Arrays]:
            def soft_value(name: str, law: Law | None) -> Array | None:
                return below[name].soft(given[name], law) if name in below else None

            terms = program.evaluate(x, soft_value, smooth)
            whole: Any = zero(next(iter(x.values())))
            for term in terms:
                whole = whole + total(term.value)
            return whole, {name: self._cost(terms, name) for name in level}

        def controls_at(learned: Arrays) -> Arrays:
            given = {**temperatures, **learned}
            return rebar.control(draws, lambda x: cost(x, given), given, free)

        rest, pullbacks = {}, {}
        for name in level:
            rest[name], pullbacks[name] = self._without_program(name)
        etas = {name: self._eta(name) for name in level}
        learned = {n: t for n, t in temperatures.items() if self.learns.get(n)}

        def whole(controls: Arrays) -> Arrays:
            return {n: ops.stop_gradient(rest[n] + etas[n] * controls[n]) for n in level}

        def full() -> tuple[Arrays, Arrays]:
            controls, pullback = ops.vjp(controls_at, learned)
            return controls, rebar.gradients_in_temperatures(whole(controls), etas, pullback)

        def cheap() -> tuple[Arrays, Arrays]:
            return controls_at({}), {n: ops.zeros_like(t) for n, t in learned.items()}

        with program.explained(level):
            if learned and self.tangents is not False:
                controls, in_temperature = self.learned.cond(self.tangents, full, cheap)
            else:
                controls, in_temperature = controls_at({}), {}
        found = whole(controls)
        for name, gradient in in_temperature.items():
            # The steps that are left out are made up for: the mean is that of every step.
            self._teach(name, {"temperature": self.options.variance_every * gradient})
        for name, gradient in rebar.gradients_in_etas(found, controls).items():
            if self.learns[name]:
                self._teach(name, {"eta": gradient})
            self._teach(name, pullbacks[name](2.0 * found[name]))
        return found

    def _relaxable(self, name: str) -> bool:
        law = self.program.sites[name].law
        return law is not None and law.relaxable

    def _teach(self, name: str, gradients: Arrays) -> None:
        """Hands on V's gradients in a site's parameters, V = sum |h|^2."""
        for which, gradient in gradients.items():
            self.learned.learn(f"{name}.estimator.{which}", gradient)

    def _without_program(self, name: str) -> tuple[Array, Callable[[Array], Arrays]]:
        """Returns h without the program's control, and the pullback of the network's part."""
        h = self._reward(name) * self._draw(name).score()
        if name not in self.plan.networks:
            return h, lambda cotangent: {}
        site, draw = self.program.sites[name], self._draw(name)
        weights = self.learned.network(
            f"{name}.estimator", site.features, self.options.hidden, draw.latent
        )
        free = self._free(name)

        def control(given: Arrays) -> Array:
            function = network.on_site(given, site.network_rank, site.side, site.scale)
            return rebar.network_control(draw, function, free)

        more, pullback = ops.vjp(control, weights)
        return h + more, pullback


class Scored(NamedTuple):
    """What a score function needs of one draw of a site."""

    log_q: Array
    """A term with the gradient of log q, (*batch_shape)."""
    cost: Array
    """The sum of the terms downstream, of the same shape."""
    side: Array | None
    scale: Any


def scored(program: Program, site: Site) -> Scored:
    """Returns what a score function needs of a draw."""
    log_q = site.score_term()
    rank = len(log_q.shape)
    cost = ops.broadcast_to(reward(program, site), tuple(log_q.shape))

    def filled(x: Array, rank: int) -> Array:
        # The draws come along one more axis on the left, which must not meet a plate.
        shape = tuple(x.shape)
        return x.reshape((1,) * (rank - len(shape)) + shape)

    side = None if site.side is None else filled(site.side, rank + 1)
    return Scored(log_q, cost, side, filled(site.scale, rank))


def score_surrogate(
    estimator: str, name: str, draws: Scored, options: Options, learned: Learned, axis: int = 0
) -> Array:
    """Returns a sum over all draws of a site whose gradient is that of a score function, ().

    :param estimator: score or rloo.
    :param name: the site.
    :param draws: with the draws along one more axis.
    :param axis: that axis.
    """
    cost = draws.cost
    baseline: Any = 0.0
    if estimator == "rloo":
        if cost.shape[axis] > 1:  # A site that one draw alone reaches has nothing to compare with.
            baseline = score.leave_one_out(cost, axis)
    elif options.baseline == "average":
        count = float(max(_size(cost), 1))
        mean = total(ops.stop_gradient(cost)) / count
        baseline = learned.average(f"{name}.baseline.average", mean, options.decay)
    elif options.baseline == "network":
        baseline = _network_baseline(name, draws, options, learned)
    return total(score.surrogate(draws.log_q, cost - baseline))


def _size(x: Array) -> int:
    size = 1
    for n in x.shape:
        size *= n
    return size


def no_input(name: str) -> ValueError:
    """Returns the error where a site gives its baseline's network nothing to see."""
    return ValueError(
        f"site {name!r}: a network baseline needs the inputs that it sees; give them in the guide "
        "as infer={'estimator_input': array of shape (*plates, features)}"
    )


def _network_baseline(name: str, draws: Scored, options: Options, learned: Learned) -> Array:
    """Returns a baseline for each cost from the site's input, and learns it by least squares."""
    side = draws.side
    if side is None:
        raise no_input(name)
    prefix = f"{name}.baseline"
    weights = learned.network(prefix, side.shape[-1], options.hidden, draws.cost)

    def error(weights: Arrays) -> tuple[Array, Array]:
        predicted = draws.scale * network.apply(weights, side)
        return total((ops.stop_gradient(draws.cost) - predicted) ** 2), predicted

    _, gradients, predicted = ops.value_and_grad(error, weights)
    for key, gradient in gradients.items():
        learned.learn(f"{prefix}.{key}", gradient)
    return ops.stop_gradient(predicted)
