"""The bound of the discrete model under the discrete guide, whatever relaxation trained it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from pyro import poutine
from pyro.infer import Trace_ELBO
from pyro.poutine.messenger import Messenger

from relaxppl.common import bound as common
from relaxppl.common.docstring import documented_by
from relaxppl.common.relax import left_discrete
from relaxppl.pyro.elbo.classes import VIMCO_ELBO, ScoreFunction_ELBO
from relaxppl.pyro.elbo.kept import left_alone
from relaxppl.pyro.registry import HOST


@documented_by(common.check)
def discrete_elbo(
    model: Callable,
    guide: Callable,
    params: dict[str, Any] | None = None,
    *args: Any,
    num_particles: int = 1000,
    importance_samples: int = 1,
    vectorize_particles: bool = False,
    max_plate_nesting: float = math.inf,
    **kwargs: Any,
) -> float:
    """Returns an unbiased estimate of E_q[log p(x, z) - log q(z)] with discrete z.

    :param params: constrained values of parameters by name; those not named, and all when it is
        None, are those of the parameter store.
    :param max_plate_nesting: as in the host's ``ELBO``.
    """
    common.check(importance_samples)
    options: dict[str, Any] = {
        "vectorize_particles": vectorize_particles,
        "max_plate_nesting": max_plate_nesting,
    }
    data = {name: torch.as_tensor(value) for name, value in (params or {}).items()}
    of_guide = _Refuse()
    of_model = _Refuse(guide=of_guide.seen)
    programs = [
        poutine.substitute(check(program), data=data)
        for check, program in ((of_model, model), (of_guide, guide))
    ]

    def run() -> None:
        plain_model, plain_guide = (poutine.substitute(fn, data=data) for fn in (model, guide))
        trace = poutine.trace(plain_guide).get_trace(*args, **kwargs)
        poutine.replay(plain_model, trace=trace)(*args, **kwargs)

    with left_discrete(), torch.no_grad(), left_alone(run):
        if importance_samples == 1:
            elbo = Trace_ELBO(num_particles=num_particles, **options)
            try:
                return -elbo.loss(*programs, *args, **kwargs)
            except common.MarkedError:
                of_model.host = False
                together = num_particles if vectorize_particles else 1
                own = ScoreFunction_ELBO(together, **options)
                runs = range(num_particles // together)
                return -sum(own.loss(*programs, *args, **kwargs) for _ in runs) / len(runs)
        of_model.host = False
        several = VIMCO_ELBO(importance_samples, **options)
        losses = [several.loss(*programs, *args, **kwargs) for _ in range(num_particles)]
        return -sum(losses) / num_particles


class _Refuse(common.Refuse, Messenger):
    def _pyro_sample(self, msg: Any) -> None:
        if not msg["is_observed"]:
            self.meet(HOST, msg)
