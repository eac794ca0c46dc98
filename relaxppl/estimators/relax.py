"""RELAX: REBAR's control variate, a learned network, or their sum.

Grathwohl et al., 2018 (arXiv:1711.00123).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from relaxppl import ops
from relaxppl.estimators import debias as debiasing
from relaxppl.estimators import network
from relaxppl.estimators.base import Arrays, Estimator, Parameter, Step
from relaxppl.estimators.laws import Bernoulli, Categorical, Draw, Law, OneHotCategorical, total
from relaxppl.estimators.rebar import REBAR, Pullback
from relaxppl.estimators.score import ScoreFunction
from relaxppl.estimators.sequences import Orderings, Paths, Subsets
from relaxppl.estimators.site import Candidate
from relaxppl.ops import Array


@dataclass(frozen=True)
class RELAX(REBAR):
    """The score function with a learned control variate: a network, REBAR's, or their sum.

    On NumPyro the network needs ``prepare``.

    :param control_variate: "both", "rebar" or "network": a network of the site's relaxed value and,
        if the guide gives it, of ``infer={"estimator_input": array of (*plates, features)}``. An
        integer Categorical always uses the network alone, and so do subsets, orderings and paths,
        where it sees one step and those before it.
    :param hidden: the hidden units of the network.
    :param temperature: as of :class:`REBAR`.
    :param eta: as of :class:`REBAR`.
    :param learn: as of :class:`REBAR`, for temperature and factor; the network always learns.
    :param debias: as of :class:`REBAR`; it needs the model at relaxed values, so that a site of the
        network alone stays unbiased, and ``control_variate="network"`` refuses it.
    :param coupled: as of :class:`REBAR`.
    :param variance_every: as of :class:`REBAR`.
    :param depth: as of :class:`REBAR`.

    Grathwohl et al., 2018 (arXiv:1711.00123).
    """

    name = "relax"
    laws = (Bernoulli, OneHotCategorical, Categorical, Subsets, Orderings, Paths)

    control_variate: str = "both"
    hidden: int = 16

    def checks(self) -> dict[str, tuple[bool, str]]:
        kinds = ("both", "rebar", "network")
        right = self.control_variate in kinds
        blind = self.control_variate == "network" and self.debias != 1.0
        return {
            **super().checks(),
            "control_variate": (right, "'both', 'rebar' or 'network'"),
            "debias": (
                debiasing.is_weight(self.debias) and not blind,
                "1 where the network is the only control variate, since straight-through needs the "
                "model at relaxed values"
                if blind
                else debiasing.ALLOWED,
            ),
        }

    def check(self, site: Candidate, num_particles: int) -> None:
        if site.sequence is not None and self.control_variate == "rebar":
            raise NotImplementedError(
                f"site {site.name!r}: {site.class_name} is drawn in steps that decide each other, "
                "so that relax can use a network only there: control_variate='network' or 'both'"
            )
        if site.has_integers and self.control_variate == "rebar":
            raise NotImplementedError(
                f"site {site.name!r}: {site.class_name} has integer values, so that relax can use "
                "a network only there: control_variate='network' or 'both', or a "
                "OneHotCategorical site"
            )

    def relaxes(self, law: type[Law] | None) -> bool:
        return self.control_variate != "network" and law not in (None, Categorical)

    @property
    def linear(self) -> Estimator:
        # The network does not see the costs.
        if self.control_variate == "network":
            return ScoreFunction()
        return replace(self, control_variate="rebar")

    def parameters(self, site: Candidate) -> list[Parameter]:
        found = super().parameters(site)
        if self.control_variate != "rebar":
            found.append(Parameter(f"{site.name}.estimator", "network", hidden=self.hidden))
        return found

    def without_program(self, step: Step, name: str) -> tuple[Array, Pullback]:
        h, pullback = super().without_program(step, name)
        if self.control_variate == "rebar":
            return h, pullback
        site, draw = step.site(name), step.draw(name)
        prefix = f"{name}.estimator"
        weights = step.learned.network(prefix, site.features, self.hidden, draw.latent)
        free = None if self.coupled else step.free(name)

        def control(given: Arrays) -> Array:
            if site.sequence is not None:
                rank, scale = site.class_rank, site.aligned(site.scale)
                before = site.sequence.before(draw.hard.shape[len(draw.hard.shape) - rank])
                function = network.in_order(given, draw.hard, rank, before, site.side, scale)
            else:
                function = network.on_site(
                    given, site.network_rank, site.beside, site.network_scale
                )
            return network_control(draw, function, free)

        more, pullback = ops.vjp(control, weights)
        return h + more, pullback


def network_control(
    draw: Draw, network: Callable[[Array], Array], free: Array | None = None
) -> Array:
    """Returns the control variate of a free function of the relaxed value.

    :param network: from the relaxed value at temperature one, of the logits' shape, to an array
        that broadcasts against the logits; one element for each group of logits that it belongs to.
    :param free: as in :func:`control`.
    """

    def at(latent: Array) -> tuple[Array, Array]:
        def relaxed(z: Array) -> tuple[Array, Array]:
            value = network(draw.law.soft(z, ops.like(z, 1.0)))
            return total(value), value

        _, gradient, value = ops.value_and_grad(relaxed, latent)
        return gradient, value

    conditional, value = at(draw.latent)
    unconditional = conditional if free is None else at(free)[0]
    return draw.pull(unconditional, conditional) - value * draw.score()
