"""The log evidence of a model, bounded from below by a trained guide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

from relaxppl.common import evidence as common
from relaxppl.common.arviz.draws import Groups
from relaxppl.common.arviz.request import Request
from relaxppl.common.docstring import documented_by
from relaxppl.numpyro.arviz.convert import draw_all, read_program
from relaxppl.numpyro.arviz.sampler import Sampler


@documented_by(common.log_evidence, Request)
def log_evidence(
    *program: Any,
    rng_key: jax.Array,
    num_draws: int = 10_000,
    importance_samples: Sequence[int] = (1, 10, 100, 1000),
    batch_size: int | None = None,
    parallel: bool = True,
    **kwargs: Any,
) -> common.LogEvidence:
    """Returns lower bounds of log p(data) by growing numbers of draws, for any trained guide.

    Called as ``log_evidence(svi, result, *args, rng_key=key)`` or ``log_evidence(model, guide,
    params, *args, rng_key=key)``.

    :param rng_key: a PRNG key.
    """
    wanted = common.check(num_draws, importance_samples)
    model, guide, params, args, _, static = read_program(common.NAME, program)
    request = Request(num_draws, batch_size, weighs=common.NAME)
    run = Sampler(model, guide, params, args, {**static, **kwargs}, request)
    run.prototype(rng_key)

    def draw() -> Groups:
        return draw_all(run.draw_weights, rng_key, num_draws, batch_size, parallel)

    return common.log_evidence(draw, wanted, run.rows)
