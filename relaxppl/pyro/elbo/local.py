"""The local gradients of a program's discrete sites, one function for each kind of estimator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from relaxppl import ops
from relaxppl.estimators import disarm, network, rebar
from relaxppl.estimators.laws import Draw
from relaxppl.estimators.plan import Options, Plan
from relaxppl.pyro.elbo.laws import law_of
from relaxppl.pyro.elbo.parameters import Own, features_of, network_rank, side_input
from relaxppl.pyro.elbo.program import Program
from relaxppl.pyro.elbo.structure import Site, Term, levels, reduce_to
from relaxppl.pyro.shell import _NOISE

Tensors = dict[str, torch.Tensor]


@contextmanager
def _explained(level: tuple[str, ...]) -> Iterator[None]:
    try:
        yield
    except (IndexError, TypeError, ValueError, RuntimeError) as error:
        error.add_note(
            f"This was raised while the program ran with relaxed values at "
            f"{', '.join(map(repr, level))}. A program that needs a site's hard values can choose "
            "another estimator for it: infer={'estimator': 'disarm'}, or 'score'."
        )
        raise


def downstream(terms: Iterable[Term], name: str) -> list[Term]:
    return [term for term in terms if name in term.deps]


def reward(program: Program, site: Site) -> torch.Tensor:
    """Returns the sum of the terms that depend on a site, broadcasting with its batch shape."""
    total = reduce_to(downstream(program.terms, site.name), site)
    if not isinstance(total, torch.Tensor):
        total = site.value.new_zeros(()) + total
    return total.detach()


def noise(kind: str, shape: Any, like: torch.Tensor) -> torch.Tensor:
    return _NOISE[kind](torch.Size(shape), like.detach())


def antithetic(program: Program, names: Iterable[str]) -> Tensors:
    """Returns DisARM's local gradients: one more hard evaluation for each level."""
    local = {}
    for level in levels(program.sites, names):
        pairs = {}
        for name in level:
            law = program.sites[name].law
            assert law is not None
            logistic = noise("logistic", disarm.noise_shape(law), law.logits)
            pairs[name] = disarm.Antithetic(law, law.encode(program.sites[name].value), logistic)
        at = {
            name: pair.law.decode(pair.value).to(program.sites[name].value.dtype)
            for name, pair in pairs.items()
        }
        with torch.no_grad():
            terms = program.evaluate(at)
        for name, pair in pairs.items():
            site = program.sites[name]
            mirrored = reduce_to(downstream(terms, name), site)
            rewards = site.aligned(reward(program, site))
            local[name] = pair.local_gradient(rewards, site.aligned(mirrored))
    return local


class Pathwise:
    """REBAR and RELAX on one program.

    :param program: after its first run.
    :param plan: says at which sites they run.
    :param options: of the estimators.
    :param own: their learned parameters.
    :param learning: whether etas and temperatures are learned at all.
    :param tangents: whether the temperatures learn in this step.
    """

    def __init__(
        self,
        program: Program,
        plan: Plan,
        options: Options,
        own: Own,
        learning: bool,
        tangents: bool,
    ) -> None:
        self.program, self.options, self.own = program, options, own
        self.soft, self.networks = plan.soft, plan.networks
        self.learning, self.tangents = learning, learning and tangents
        self._draws: dict[str, Draw] = {}

    def draw(self, name: str) -> Draw:
        """Returns a site's draw together with its latent; made at the first use."""
        if name not in self._draws:
            site = self.program.sites[name]
            law = site.law
            assert law is not None
            given = noise(law.noise, law.logits.shape, law.logits)
            self._draws[name] = Draw(law, law.encode(site.value), given)
        return self._draws[name]

    def temperature(self, name: str) -> torch.Tensor:
        """Returns a site's temperature, ()."""
        like = self.draw(name).latent
        if not self.learning or name not in self.soft:
            return like.new_full((), self.options.temperature)
        key = f"{name}.estimator.temperature"
        initial = self.options.temperature
        return self.own.read(key, initial, like, positive=True, learning=self.tangents)

    def eta(self, name: str) -> torch.Tensor:
        """Returns the factor of a site's control variate, ()."""
        like = self.draw(name).latent
        if not self.learning:
            return like.new_full((), self.options.eta)
        return self.own.read(f"{name}.estimator.eta", self.options.eta, like)

    def gradients(self) -> Tensors:
        """Returns the local gradients h of all sites, and hands on what their variance teaches."""
        local: Tensors = {}
        for name in dict.fromkeys(self.soft + self.networks):
            site = self.program.sites[name]
            local[name] = site.aligned(reward(self.program, site)) * self.draw(name).score()
        # A level is done before the next begins: its graph is as large as all that lies below.
        for level in levels(self.program.sites, self.soft):
            controls, pullback = self._controls(level)
            etas = {name: self.eta(name) for name in level}
            for name in level:
                local[name] = local[name] + etas[name] * controls[name]
                if name in self.networks:
                    local[name] = local[name] + self._network(name, local[name])
            if self.learning:
                self._teach(local, etas, controls, pullback)
        for name in self.networks:
            if name not in self.soft:
                local[name] = local[name] + self._network(name, local[name])
        return local

    def _teach(self, local: Tensors, etas: Tensors, controls: Tensors, pullback: Any) -> None:
        """Hands on the gradients of V = sum |h|^2 in a level's etas and in the temperatures."""
        for name, gradient in rebar.gradients_in_etas(local, controls).items():
            self.own.learn(f"{name}.estimator.eta", gradient)
        if self.tangents:
            in_temperature = rebar.gradients_in_temperatures(local, etas, pullback)
            # The steps that are left out are made up for: the mean is that of every step.
            every = self.options.variance_every
            for name, gradient in in_temperature.items():
                self.own.learn(f"{name}.estimator.temperature", every * gradient)

    def _controls(self, level: tuple[str, ...]) -> tuple[Tensors, Any]:
        """Returns the control variates of a level, and their pullback to the temperatures."""
        program = self.program
        draws = {name: self.draw(name) for name in level}
        downstream_sites = program.downstream_in_guide(frozenset(level)) & set(program.sites)
        relaxable = {n for n in downstream_sites if self._relaxable(program.sites[n])}
        # What cannot be relaxed would move by jumps that no path derivative sees, and so does what
        # depends on a comparison or leaves torch: such terms are left out, and the control variate
        # stays unbiased.
        blocked = downstream_sites - relaxable
        below = {name: self.draw(name) for name in relaxable}

        moved = {*level, *relaxable}

        def smooth(term: Term) -> bool:
            return not (term.deps & blocked or term.jumps & moved)

        def cost(x: Tensors, temperatures: Tensors) -> tuple[torch.Tensor, Tensors]:
            def recompute(site: Site, fn: Any) -> torch.Tensor | None:
                if site.name not in below:
                    return None
                return below[site.name].soft(temperatures[site.name], law_of(fn))

            with _explained(level):
                terms = program.evaluate(x, recompute, smooth)
            zero = next(iter(x.values())).new_zeros(())
            total = sum((term.value.sum() for term in terms), zero)
            costs = {}
            for name in level:
                site = program.sites[name]
                costs[name] = site.aligned(zero + reduce_to(downstream(terms, name), site))
            return total, costs

        free = None
        if not self.options.coupled:
            free = {name: self._second(drawn) for name, drawn in draws.items()}
        given = {name: self.temperature(name) for name in (*level, *relaxable)}
        learned = {name: t for name, t in given.items() if name in self.soft}

        def controls(learned: Tensors) -> Tensors:
            temperatures = {**given, **learned}
            return rebar.control(draws, lambda x: cost(x, temperatures), temperatures, free)

        if self.tangents:
            return ops.vjp(controls, learned)
        return {name: control.detach() for name, control in controls(learned).items()}, None

    def _second(self, drawn: Draw) -> torch.Tensor:
        """Returns a latent that does not depend on the draw."""
        return drawn.law.latent(noise(drawn.law.noise, drawn.latent.shape, drawn.latent))

    def _relaxable(self, site: Site) -> bool:
        return site.law is not None and site.law.relaxable

    def _network(self, name: str, rest: torch.Tensor) -> torch.Tensor:
        """Returns the network's part of h, and teaches it on the variance of the whole."""
        site, drawn = self.program.sites[name], self.draw(name)
        side, rank = side_input(site), network_rank(site)
        prefix, hidden = f"{name}.estimator", self.options.hidden
        parameters = self.own.network(prefix, features_of(site), hidden, drawn.latent)
        free = None if self.options.coupled else self._second(drawn)

        def variance(given: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
            control = rebar.network_control(
                drawn, network.on_site(given, rank, side, site.scale), free
            )
            return ((rest + control) ** 2).sum(), control

        _, gradients, control = ops.value_and_grad(variance, parameters)
        for key, gradient in gradients.items():
            self.own.learn(f"{prefix}.{key}", gradient)
        return control.detach()
