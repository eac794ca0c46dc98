"""From a trained guide to ArviZ: draws, predictions, log densities and where they come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from numpyro.infer import SVI
from numpyro.infer.svi import SVIRunResult, SVIState

from relaxppl.common.arviz.attributes import attributes
from relaxppl.common.arviz.constants import constant_data as constants_of
from relaxppl.common.arviz.correct import corrected, note_mixing
from relaxppl.common.arviz.draws import batch_size as size_of_batch
from relaxppl.common.arviz.draws import collect
from relaxppl.common.arviz.labels import Labels
from relaxppl.common.arviz.request import Request
from relaxppl.common.arviz.tree import build, require
from relaxppl.numpyro.arviz.sampler import Sampler


def to_arviz(
    *program: Any,
    rng_key: jax.Array,
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
    parallel: bool = True,
    **kwargs: Any,
) -> Any:
    """Returns draws of a trained guide, and what the model says of them, as ArviZ's object.

    Called as ``to_arviz(svi, result, *args, rng_key=key)`` or ``to_arviz(model, guide, params,
    *args, rng_key=key)``. The groups are

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

    :param program: an ``SVI`` and what training it returned (an ``SVIRunResult``, an ``SVIState``
        or the parameters), or a model, a guide and the parameters by name; then the positional
        arguments of model and guide.
    :param rng_key: a PRNG key.
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
    :param batch_size: how many draws are made at a time; None chooses by the memory they take.
    :param parallel: whether the draws of a batch run vectorised; False runs them in turn, for
        programs that ``vmap`` cannot take.
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
    model, guide, params, args, loss, static = read_program("to_arviz", program)
    kwargs = {**static, **kwargs}
    run = Sampler(model, guide, params, args, kwargs, request)
    first = run.prototype(rng_key)
    labels = Labels(first.sites, first.variables, request.dims, request.coords)
    draw_key, prior_key = jax.random.split(rng_key)
    groups = draw_all(run.draw, draw_key, request.guide_draws, request.batch_size, parallel)
    notes = first.notes
    if request.correct:
        rng = np.random.default_rng(
            np.asarray(jax.random.bits(jax.random.fold_in(rng_key, 2), (4,)))
        )
        groups, more = corrected(
            groups, request.correct, request.num_draws, run.rows, first.dims, rng
        )
        notes |= more | run.notes
    if request.prior_draws:
        groups |= draw_all(run.draw_prior, prior_key, request.prior_draws, batch_size, parallel)
    groups["observed_data"] = dict(first.observed)
    if request.constant_data is None:
        groups["constant_data"] = constants_of(
            _innermost(model), args, kwargs, first.observed, array_of
        )
    else:
        groups["constant_data"] = {k: np.asarray(v) for k, v in request.constant_data.items()}
    attrs = attributes(
        "numpyro",
        ("numpyro", "jax", "jaxlib", "numpy", "arviz"),
        loss,
        params,
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
) -> tuple[Any, Any, dict[str, Any], tuple[Any, ...], Any, Any]:
    """Returns model, guide, parameters, arguments, and what else the program says.

    :param what: who takes it, for the messages.
    :raises TypeError: if it is given in none of its forms.
    """
    if len(program) >= 2 and isinstance(program[0], SVI):
        svi, result, *args = program
        return (
            svi.model,
            svi.guide,
            _params(what, svi, result),
            tuple(args),
            svi.loss,
            svi.static_kwargs,
        )
    if len(program) >= 3 and callable(program[0]) and callable(program[1]):
        model, guide, params, *args = program
        return model, guide, _params(what, None, params), tuple(args), None, {}
    given = ", ".join(type(each).__name__ for each in program) or "nothing"
    raise TypeError(
        f"{what} takes (svi, result, *args) or (model, guide, params, *args), then keyword "
        f"arguments; got {given}"
    )


def _params(what: str, svi: SVI | None, result: Any) -> dict[str, Any]:
    if isinstance(result, SVIRunResult):
        return {**result.params, **(getattr(result.state, "mutable_state", None) or {})}
    if isinstance(result, SVIState) and svi is not None:
        return {**svi.get_params(result), **(result.mutable_state or {})}
    if isinstance(result, Mapping):
        return dict(result)
    raise TypeError(
        f"{what}: the parameters must be what svi.run returned, an SVIState, or a dict from names "
        f"to arrays, got {type(result).__name__}"
    )


def draw_all(
    one: Callable[[jax.Array], Any],
    rng_key: jax.Array,
    num_draws: int,
    asked: int | None,
    parallel: bool,
) -> dict[str, dict[str, np.ndarray]]:
    """Returns as many draws as are wanted, batch by batch, by group and variable."""
    keys = jax.random.split(rng_key, num_draws)
    shapes = jax.tree.leaves(jax.eval_shape(one, rng_key))
    size = size_of_batch(num_draws, sum(s.size * s.dtype.itemsize for s in shapes), asked)
    many = jax.jit(jax.vmap(one) if parallel else lambda keys: jax.lax.map(one, keys))

    def draw(start: int) -> Any:
        # The last batch is as long as the others, or it would be compiled again.
        some = keys[np.minimum(np.arange(start, start + size), num_draws - 1)]
        return jax.tree.map(np.asarray, many(some))

    return collect(num_draws, size, draw)


def _innermost(model: Any) -> Any:
    # Handlers hide the signature of what they wrap.
    while getattr(model, "fn", None) is not None:
        model = model.fn
    return model


def array_of(value: Any) -> np.ndarray | None:
    """Returns an argument as an array, or None for what is no array of numbers."""
    if not isinstance(value, (np.ndarray, jax.Array)):
        return None
    if jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key):
        return None
    array = np.asarray(value)
    return array if array.dtype.kind in "biuf" else None
