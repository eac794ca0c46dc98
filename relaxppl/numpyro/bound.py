"""The bound of the discrete model under the discrete guide, whatever relaxation trained it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from numpyro.infer import Trace_ELBO
from numpyro.primitives import Messenger

from relaxppl.common import relax as common
from relaxppl.estimators.choice import check_not_enumerated
from relaxppl.numpyro.elbo.program import enumerated_sites
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
    :raises NotImplementedError: naming the site, if the model has one that the guide has not and
        that is marked to be summed out.
    """
    elbo = Trace_ELBO(num_particles=num_particles, vectorize_particles=vectorize_particles)
    checked_guide = _Refuse(guide)
    checked_model = _Refuse(model, checked_guide.seen)
    with common.left_discrete():
        loss = elbo.loss(rng_key, params, checked_model, checked_guide, *args, **kwargs)
    return -loss


class _Refuse(Messenger):
    """Refuses what has no discrete bound, or none that a draw of the guide estimates.

    :param fn: the guide, or the model.
    :param guide: of the model: the names that the guide's run, which comes first, has seen.
    """

    def __init__(self, fn: Callable, guide: dict[str, None] | None = None) -> None:
        super().__init__(fn)
        self.guide = guide
        self.seen: dict[str, None] = {}

    def process_message(self, msg: Any) -> None:
        if msg["type"] == "sample" and not msg["is_observed"]:
            common.check_discrete(HOST, msg["name"], msg["fn"])
            self.seen[msg["name"]] = None
            if self.guide is not None:
                check_not_enumerated(
                    enumerated_sites({msg["name"]: msg}, self.guide), "discrete_elbo"
                )
