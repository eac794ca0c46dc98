"""The bound of the discrete model under the discrete guide, whatever relaxation trained it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from numpyro.infer import Trace_ELBO
from numpyro.primitives import Messenger

from relaxppl import relaxing
from relaxppl.numpyro.registry import HOST


def discrete_elbo(
    model: Callable,
    guide: Callable,
    params: dict[str, Any],
    *args: Any,
    rng_key: jax.Array,
    num_particles: int = 1000,
    vectorize_particles: Any = True,
    **kwargs: Any,
) -> jax.Array:
    """Returns an unbiased estimate of E_q[log p(x, z) - log q(z)] with discrete z, a scalar.

    :param model: the discrete model, or that wrapped in ``relax``, which is then ignored.
    :param guide: the same of the guide.
    :param params: the trained parameters, as ``SVI.get_params`` returns them.
    :param args: the arguments of model and guide.
    :param rng_key: a PRNG key.
    :param num_particles: how many draws of the guide are averaged.
    :param vectorize_particles: as in the host's ``ELBO``: False runs one at a time in less memory.
    :param kwargs: the keyword arguments of model and guide.
    :raises ValueError: naming the site, if a site is written with a relaxed distribution, so that
        the program has no discrete form.
    """
    elbo = Trace_ELBO(num_particles=num_particles, vectorize_particles=vectorize_particles)
    with relaxing.left_discrete():
        loss = elbo.loss(
            rng_key, params, _RefuseRelaxed(model), _RefuseRelaxed(guide), *args, **kwargs
        )
    return -loss


class _RefuseRelaxed(Messenger):
    def process_message(self, msg: Any) -> None:
        if msg["type"] == "sample" and not msg["is_observed"]:
            relaxing.check_discrete(HOST, msg["name"], msg["fn"])
