"""The log evidence of a model, bounded from below by a trained guide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from relaxppl.common import evidence as common
from relaxppl.common.arviz.draws import Groups
from relaxppl.common.arviz.request import Request
from relaxppl.common.docstring import documented_by
from relaxppl.pyro.arviz.convert import draw_all, read_program
from relaxppl.pyro.arviz.sampler import Sampler
from relaxppl.pyro.elbo.kept import left_alone


@documented_by(common.log_evidence, Request)
def log_evidence(
    *program: Any,
    num_draws: int = 10_000,
    importance_samples: Sequence[int] = (1, 10, 100, 1000),
    batch_size: int | None = None,
    parallel: bool | None = None,
    **kwargs: Any,
) -> common.LogEvidence:
    """Returns lower bounds of log p(data) by growing numbers of draws, for any trained guide.

    Called as ``log_evidence(svi, result, *args)`` or ``log_evidence(model, guide, params,
    *args)``, where None takes the parameters of the parameter store.
    """
    wanted = common.check(num_draws, importance_samples)
    model, guide, params, args, _ = read_program(common.NAME, program)
    run = Sampler(model, guide, params, args, kwargs, Request(num_draws, weighs=common.NAME))

    def draw() -> Groups:
        return draw_all(run, run.draw_weights, num_draws, batch_size, parallel)

    with left_alone(run.once):
        run.prototype()
        return common.log_evidence(draw, wanted, run.rows)
