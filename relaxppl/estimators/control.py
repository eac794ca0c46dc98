"""REBAR's control variate of some levels, and the gradients that its parameters learn by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from relaxppl import ops
from relaxppl.estimators.laws import Draw, total
from relaxppl.ops import Array

Cost = Callable[[dict[str, Array]], tuple[list[Array], dict[str, Array]]]
"""From relaxed values by site to the sum of the terms of each level, and by site the sum of those
that depend on the site, shaped to broadcast against the site's logits."""


def control(
    draws: Mapping[str, Draw],
    cost: Cost,
    temperatures: Mapping[str, Array],
    free: Mapping[str, Array] | None = None,
    apart: Sequence[Sequence[str]] | None = None,
) -> dict[str, Array]:
    """Returns each site's control variate, an array of mean zero of its logits' shape.

    :param draws: the sites; within a level their logits do not depend on each other's values.
    :param cost: evaluated once, or twice if ``free`` is given, with values of exactly these sites.
    :param temperatures: a positive scalar array for each site.
    :param free: the latent z for each site where it is drawn independently of z~; else z = z~.
    :param apart: the sites by level, each of which has a sum of its own; None for a single one.
    """
    apart = [list(draws)] if apart is None else apart

    def at(latents: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
        def relaxed(z: list[dict[str, Array]]) -> tuple[list[Array], dict[str, Array]]:
            x = {n: draws[n].law.soft(v, temperatures[n]) for part in z for n, v in part.items()}
            return cost(x)

        levels = [{n: latents[n] for n in names} for names in apart]
        gradients, costs = ops.grads_apart(relaxed, levels)
        return {n: g for part in gradients for n, g in part.items()}, costs

    conditional, costs = at({n: draw.latent for n, draw in draws.items()})
    unconditional = conditional if free is None else at(free)[0]
    return {
        n: draw.pull(unconditional[n], conditional[n]) - costs[n] * draw.score()
        for n, draw in draws.items()
    }


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
