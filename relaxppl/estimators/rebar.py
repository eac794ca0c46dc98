"""REBAR and the control variate of RELAX: local gradients from relaxed evaluations.

Tucker et al., 2017 (arXiv:1703.07370); Grathwohl et al., 2018 (arXiv:1711.00123). For a draw b with
latent z~ given b, and z a latent whose law is that of an unconditional one,

    h = R(b) score(b) + e * control,    control = -c(z~) score(b) + d c(z) - d c(z~),

where d differentiates in the logits through the latent only. The coupling of z and z~ is free. With
z = z~ in value (their derivatives still differ) one relaxed evaluation of the program serves both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from relaxppl import ops
from relaxppl.estimators.laws import Draw, total
from relaxppl.relaxations.base import Array

Cost = Callable[[dict[str, Array]], tuple[Array, dict[str, Array]]]
"""From relaxed values by site to the sum of all terms, and by site the sum of the terms that depend
on the site, shaped to broadcast against the site's logits."""


def control(
    draws: Mapping[str, Draw],
    cost: Cost,
    temperatures: Mapping[str, Array],
    free: Mapping[str, Array] | None = None,
) -> dict[str, Array]:
    """Returns each site's control variate, an array of mean zero of its logits' shape.

    :param draws: the sites of one level: their logits do not depend on each other's values.
    :param cost: evaluated once, or twice if ``free`` is given, with values of exactly these sites.
    :param temperatures: a positive scalar array for each site.
    :param free: the latent z for each site where it is drawn independently of z~; else z = z~.
    """

    def at(latents: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
        def relaxed(z: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
            return cost({n: draws[n].law.soft(z[n], temperatures[n]) for n in draws})

        _, gradient, costs = ops.value_and_grad(relaxed, dict(latents))
        return gradient, costs

    conditional, costs = at({n: draw.latent for n, draw in draws.items()})
    unconditional = conditional if free is None else at(free)[0]
    return {
        n: draw.pull(unconditional[n], conditional[n]) - costs[n] * draw.score()
        for n, draw in draws.items()
    }


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


def gradients_in_etas(
    local: Mapping[str, Array], controls: Mapping[str, Array]
) -> dict[str, Array]:
    """Returns the gradients of V = sum |h|^2 in the factors of the control variates.

    The mean of h depends neither on them nor on temperatures: V's gradient is the variance's.

    :param local: h by site.
    :param controls: the controls, the derivatives of h in the factors.
    """
    return {n: 2.0 * total(local[n] * b) for n, b in controls.items()}


def gradients_in_temperatures(
    local: Mapping[str, Array],
    etas: Mapping[str, Array],
    pullback: Callable[[dict[str, Array]], dict[str, Array]],
) -> dict[str, Array]:
    """Returns the gradients of V = sum |h|^2 in the temperatures.

    :param local: h by site.
    :param etas: the factor of each site's control.
    :param pullback: from cotangents of the controls to gradients in the temperatures. Reverse
        mode over reverse mode takes one pass for them all.
    """
    return pullback({n: 2.0 * eta * local[n] for n, eta in etas.items()})
