"""The log evidence of a model, bounded from below by a trained guide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from relaxppl.common import evidence as common
from relaxppl.common.arviz.request import Request
from relaxppl.pyro.arviz.convert import draw_all, read_program
from relaxppl.pyro.arviz.sampler import Sampler


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
    *args)``, where None takes the parameters of the parameter store. With K draws the bound is
    E log (1/K sum_k p / q): at K = 1 the ELBO of the discrete program, and with K to infinity the
    log evidence. Where every site of both programs lies in the same plates, each of their elements
    has a bound of its own, and these are added up; else the bound is one for all.

    :param program: as of :func:`to_arviz`.
    :param num_draws: how many draws of the guide, in all.
    :param importance_samples: K, of each bound; the largest at most half of num_draws.
    :param batch_size: how many draws are made at a time; None chooses by the memory they take.
    :param parallel: as of :func:`to_arviz`.
    :param kwargs: the keyword arguments of model and guide.
    :returns: the bounds with their standard errors, and by element of the plates.
    :raises TypeError: if the program is given in none of its forms.
    :raises ValueError: if there are too few draws, or they have no weights; the message says why.

    Burda et al., 2016 (arXiv:1509.00519).
    """
    wanted = common.check(num_draws, importance_samples)
    model, guide, params, args, _ = read_program(common.NAME, program)
    run = Sampler(model, guide, params, args, kwargs, Request(num_draws, weighs=common.NAME))
    run.prototype()
    if parallel is None:
        parallel = run.vectorises()
    drawn = draw_all(run, run.draw_weights, num_draws, batch_size, parallel)["rows"]
    return common.evidence(drawn["log_p"][0], drawn["log_q"][0], wanted, run.rows)
