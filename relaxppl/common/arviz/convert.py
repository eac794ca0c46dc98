"""From a trained guide to ArviZ, over what a host draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from relaxppl.common.arviz.attributes import attributes
from relaxppl.common.arviz.constants import constant_data
from relaxppl.common.arviz.correct import corrected, note_mixing
from relaxppl.common.arviz.draws import Groups
from relaxppl.common.arviz.labels import Labels
from relaxppl.common.arviz.prototype import Prototype
from relaxppl.common.arviz.sampler import Sampler
from relaxppl.common.arviz.tree import build


@dataclass(frozen=True)
class Host:
    """What a host does of it.

    :param name: "numpyro" or "pyro".
    :param packages: whose versions are kept, the host's first.
    :param draw: makes some draws of one of the sampler's functions, named and numbered.
    :param generator: of NumPy's, from the host's random numbers.
    :param arrays: constant data that was given, as arrays.
    :param array_of: an argument as an array, or None for what is no array of numbers.
    :param unwrapped: the model without the handlers around it.
    """

    name: str
    packages: tuple[str, ...]
    draw: Callable[[Callable[..., Any], int, int], Groups]
    generator: Callable[[], np.random.Generator]
    arrays: Callable[[Mapping[str, Any]], dict[str, np.ndarray]]
    array_of: Callable[[Any], np.ndarray | None]
    unwrapped: Callable[..., Any]


def to_arviz(
    host: Host, run: Sampler, first: Prototype, params: Mapping[str, Any], loss: Any
) -> Any:
    """Returns draws of a trained guide, and what the model says of them, as ArviZ's object.

    The groups are

    - ``posterior``: the guide's draws, discrete values as integers. A site that ``relax`` relaxes
      stands there twice: ``z`` as sampled, and ``z_hard``, the discrete values that these stand
      for. Deterministic sites of the model are beside them;
    - ``posterior_predictive``, ``log_likelihood`` and ``observed_data``: the observed sites;
    - ``sample_stats``: ``log_p`` and ``log_q`` of every draw, and their difference ``log_weight``,
      whose mean estimates the ELBO and whose tail :func:`pareto_k` judges;
    - ``prior`` and ``prior_predictive``, if asked for;
    - ``constant_data``: the arrays among the model's arguments that it does not observe.

    What lies downstream of a relaxed site, and every group but ``posterior``, is that of the
    discrete program, run on the hardened values. Where a site is *written* with a relaxed
    distribution there is no such program; then it is run as written, on the values as sampled.
    Plates name dimensions. A plate with a subsample size is run whole, unless the program only runs
    on the subsample it was given.

    :param host: the host.
    :param run: draws from the programs.
    :param first: what a first run of these showed.
    :param params: the parameters by name.
    :param loss: what they were trained with, or None.
    :param kwargs: the keyword arguments of model and guide.
    :returns: an ``arviz.InferenceData`` with ArviZ 0.x, an ``xarray.DataTree`` with ArviZ 1.x.
    :raises ImportError: naming the extra, if ArviZ is not installed.
    :raises TypeError: if the program is given in neither form, or a number of draws is none.
    :raises ValueError: if a number of draws is below 1, a parameter of the programs is not among
        those given or has another shape, a latent site of the model is none of the guide's, dims or
        coords fit no variable, or the draws cannot be corrected: they have no weights, or the
        Pareto k-hat of these is above 0.7.
    """
    request = run.request
    labels = Labels(first.sites, first.variables, request.dims or {}, request.coords or {})
    groups = host.draw(run.draw, request.guide_draws, 0)
    notes = first.notes
    if request.correct:
        groups, more = corrected(
            groups, request.correct, request.num_draws, run.rows, first.dims, host.generator()
        )
        notes |= more | run.notes
    if request.prior_draws:
        groups |= host.draw(run.draw_prior, request.prior_draws, 1)
    groups["observed_data"] = dict(first.observed)
    if request.constant_data is None:
        groups["constant_data"] = constant_data(
            host.unwrapped(run.model), run.args, run.kwargs, first.observed, host.array_of
        )
    else:
        groups["constant_data"] = host.arrays(request.constant_data)
    found = first.relaxed, first.written, first.discrete
    attrs = attributes(host.name, host.packages, loss, params, *found)
    data = build(groups, first.sources, labels, attrs | notes)
    if request.correct == "mh":
        note_mixing(data)
    return data
