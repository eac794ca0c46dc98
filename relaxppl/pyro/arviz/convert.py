"""From a trained guide to ArviZ: draws, predictions, log densities and where they come from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from pyro.infer import SVI
from pyro.poutine.messenger import unwrap

from relaxppl.common.arviz.attributes import attributes
from relaxppl.common.arviz.constants import constant_data as constants_of
from relaxppl.common.arviz.correct import corrected, note_mixing
from relaxppl.common.arviz.draws import Batch, collect
from relaxppl.common.arviz.draws import batch_size as size_of_batch
from relaxppl.common.arviz.labels import Labels
from relaxppl.common.arviz.request import Request
from relaxppl.common.arviz.tree import build, require
from relaxppl.ops import as_numpy
from relaxppl.pyro.arviz.sampler import Sampler


def to_arviz(
    *program: Any,
    num_draws: int = 1000,
    posterior_predictive: bool = True,
    log_likelihood: bool = True,
    prior: bool | int = False,
    correct: str | None = None,
    particles: int = 16,
    coords: Mapping[str, Any] | None = None,
    dims: Mapping[str, Sequence[str]] | None = None,
    constant_data: Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    parallel: bool | None = None,
    **kwargs: Any,
) -> Any:
    """Returns draws of a trained guide, and what the model says of them, as ArviZ's object.

    Called as ``to_arviz(svi, result, *args)`` or ``to_arviz(model, guide, params, *args)``, where
    None for the result or the parameters takes those of the parameter store. The groups are

    - ``posterior``: the guide's draws, discrete values as integers. A site that ``relax`` relaxes
      stands there twice: ``z`` as sampled, and ``z_hard``, the discrete values that these stand
      for. Deterministic sites of the model are beside them;
    - ``posterior_predictive``, ``log_likelihood`` and ``observed_data``: the observed sites;
    - ``sample_stats``: ``log_p`` and ``log_q`` of every draw, and their difference ``log_weight``,
      whose mean estimates the ELBO and whose tail :func:`pareto_k` judges;
    - ``prior`` and ``prior_predictive``, if asked for;
    - ``constant_data``: the tensors among the model's arguments that it does not observe.

    What lies downstream of a relaxed site, and every group but ``posterior``, is that of the
    discrete program, run on the hardened values. Where a site is *written* with a relaxed
    distribution there is no such program; then it is run as written, on the values as sampled.
    Plates name dimensions. A plate with a subsample size is run whole, unless the program only runs
    on the subsample it was given.

    :param program: an ``SVI`` and what :func:`fit` returned, the parameters by name or None; or a
        model, a guide and one of these; then the positional arguments of model and guide.
    :param num_draws: how many draws of the guide.
    :param posterior_predictive: whether observed sites are drawn anew for every draw.
    :param log_likelihood: whether to keep the log density of every observation, unscaled.
    :param prior: whether to draw from the model alone; a number for another number of draws.
    :param correct: None for draws of the guide as they are; "psis" for draws of the posterior,
        picked among ten times as many of the guide's by their Pareto smoothed weights; "mh" for
        four Markov chains over as many, with their ``acceptance_rate`` in ``sample_stats``. Where
        every site of both programs lies in the same plates, the elements of these are corrected
        one by one.
    :param particles: how many draws are made of the sites of each row, for one draw of the sites
        above them, where a correction finds rows that are independent given what is above.
    :param coords: labels of dimensions, by dimension.
    :param dims: names of the dimensions of a site that are no plate's (or of all), by site.
    :param constant_data: arrays by name, in place of those among the arguments.
    :param batch_size: how many draws are made at a time where they run vectorised; None chooses by
        the memory they take.
    :param parallel: whether the draws of a batch run vectorised, in an outermost plate, as those of
        the host's ``Predictive``, or in turn; None vectorises where a few draws, scored again one
        at a time, show that the programs allow for it.
    :param kwargs: the keyword arguments of model and guide.
    :returns: an ``arviz.InferenceData`` with ArviZ 0.x, an ``xarray.DataTree`` with ArviZ 1.x.
    :raises ImportError: naming the extra, if ArviZ is not installed.
    :raises TypeError: if the program is given in neither form, or a number of draws is none.
    :raises ValueError: if a number of draws is below 1, a parameter of the programs is not among
        those given or has another shape, a latent site of the model is none of the guide's, dims or
        coords fit no variable, or the draws cannot be corrected: they have no weights, or the
        Pareto k-hat of these is above 0.7.
    """
    require()
    request = Request(
        num_draws,
        batch_size,
        posterior_predictive,
        log_likelihood,
        prior,
        correct,
        coords or {},
        dims or {},
        constant_data,
        particles=particles,
    )
    model, guide, params, args, loss = read_program("to_arviz", program)
    run = Sampler(model, guide, params, args, kwargs, request)
    first = run.prototype()
    labels = Labels(first.sites, first.variables, request.dims, request.coords)
    if parallel is None:
        parallel = run.vectorises()
    groups = draw_all(run, run.draw, request.guide_draws, batch_size, parallel)
    notes = first.notes
    if request.correct:
        rng = np.random.default_rng(int(torch.randint(2**62, ())))
        groups, more = corrected(
            groups, request.correct, request.num_draws, run.rows, first.dims, rng
        )
        notes |= more | run.notes
    if request.prior_draws:
        groups |= draw_all(run, run.draw_prior, request.prior_draws, batch_size, parallel)
    groups["observed_data"] = dict(first.observed)
    if request.constant_data is None:
        groups["constant_data"] = constants_of(
            unwrap(model), args, kwargs, first.observed, array_of
        )
    else:
        given = {k: torch.as_tensor(v) for k, v in request.constant_data.items()}
        groups["constant_data"] = {k: as_numpy(v) for k, v in given.items()}
    attrs = attributes(
        "pyro",
        ("pyro-ppl", "torch", "numpy", "arviz"),
        loss,
        run.trained(),
        first.relaxed,
        first.written,
        first.discrete,
    )
    data = build(groups, first.sources, labels, attrs | notes)
    if request.correct == "mh":
        note_mixing(data)
    return data


def read_program(
    what: str, program: tuple[Any, ...]
) -> tuple[Any, Any, dict[str, Any] | None, tuple, Any]:
    """Returns model, guide, parameters, arguments, and what else the program says.

    :param what: who takes it, for the messages.
    :raises TypeError: if it is given in none of its forms.
    """
    if len(program) >= 2 and isinstance(program[0], SVI):
        svi, result, *args = program
        # The host keeps the bound method of the ELBO, not the ELBO.
        loss = getattr(svi.loss, "__self__", svi.loss)
        return svi.model, svi.guide, _params(what, result), tuple(args), loss
    if len(program) >= 3 and callable(program[0]) and callable(program[1]):
        model, guide, params, *args = program
        return model, guide, _params(what, params), tuple(args), None
    given = ", ".join(type(each).__name__ for each in program) or "nothing"
    raise TypeError(
        f"{what} takes (svi, result, *args) or (model, guide, params, *args), where the result or "
        f"the parameters may be None for the parameter store; got {given}"
    )


def _params(what: str, result: Any) -> dict[str, Any] | None:
    params = getattr(result, "params", result)
    if params is None or isinstance(params, Mapping):
        return None if params is None else dict(params)
    raise TypeError(
        f"{what}: the parameters must be what fit returned, a dict from names to tensors, or None "
        f"for the parameter store, got {type(result).__name__}"
    )


def draw_all(
    run: Sampler, one: Callable[[], Batch], num_draws: int, asked: int | None, parallel: bool
) -> dict[str, dict[str, np.ndarray]]:
    """Returns as many draws as are wanted, batch by batch, by group and variable."""
    if not parallel:

        def single(start: int) -> Batch:
            return {g: {n: v[None] for n, v in vs.items()} for g, vs in one().items()}

        return collect(num_draws, 1, single)
    first = one()
    size = size_of_batch(
        num_draws, sum(v.nbytes for vs in first.values() for v in vs.values()), asked
    )

    def draw(start: int) -> Batch:
        run.draws = min(size, num_draws - start)
        return {
            group: {
                name: _reshaped(value, run.draws, first[group][name].shape)
                for name, value in variables.items()
            }
            for group, variables in one().items()
        }

    try:
        return collect(num_draws, size, draw)
    finally:
        run.draws = None


def _reshaped(value: np.ndarray, draws: int, shape: tuple[int, ...]) -> np.ndarray:
    """Returns one variable of a vectorised run with the draws in front and nothing between.

    :param value: as the run left it.
    :param draws: how many.
    :param shape: of one draw.
    """
    if value.size == draws * math.prod(shape):
        return value.reshape(draws, *shape)
    return np.broadcast_to(value.reshape(shape), (draws, *shape))


def array_of(value: Any) -> np.ndarray | None:
    """Returns an argument as an array, or None for what is no array of numbers."""
    if not isinstance(value, torch.Tensor | np.ndarray):
        return None
    array = as_numpy(value)
    return array if array.dtype.kind in "biuf" else None
