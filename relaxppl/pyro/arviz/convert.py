"""From a trained guide to ArviZ: draws, predictions, log densities and where they come from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from pyro.infer import SVI
from pyro.poutine.messenger import unwrap

from relaxppl.common.arviz import convert as common
from relaxppl.common.arviz.draws import Batch, collect
from relaxppl.common.arviz.draws import batch_size as size_of_batch
from relaxppl.common.arviz.program import given
from relaxppl.common.arviz.request import Request
from relaxppl.common.arviz.tree import require
from relaxppl.common.docstring import documented_by
from relaxppl.ops import as_numpy
from relaxppl.pyro.arviz.sampler import Sampler
from relaxppl.pyro.elbo.kept import left_alone
from relaxppl.pyro.relax import RelaxedModule


@documented_by(common.to_arviz, Request)
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
    None for the result or the parameters takes those of the parameter store.

    :param program: an ``SVI`` and what :func:`fit` returned, the parameters by name or None; or a
        model, a guide and one of these; then the positional arguments of model and guide.
    :param batch_size: how many draws are made at a time where they run vectorised; None chooses by
        the memory they take.
    :param parallel: whether the draws of a batch run vectorised, in an outermost plate, as those of
        the host's ``Predictive``, or in turn; None vectorises where some draws, scored again one
        at a time, show that the programs allow for it.
    """
    require()
    what = (posterior_predictive, log_likelihood, prior, correct, coords, dims, constant_data)
    request = Request(num_draws, batch_size, *what, particles=particles)
    model, guide, params, args, loss = read_program("to_arviz", program)
    run = Sampler(model, guide, params, args, kwargs, request)
    with left_alone(run.once):
        return _converted(run, loss, batch_size, parallel)


def _converted(run: Sampler, loss: Any, batch_size: int | None, parallel: bool | None) -> Any:
    first = run.prototype()
    host = common.Host(
        name="pyro",
        packages=("pyro-ppl", "torch", "numpy", "arviz"),
        draw=lambda one, count, _: draw_all(run, one, count, batch_size, parallel),
        generator=lambda: np.random.default_rng(int(torch.randint(2**62, ()))),
        arrays=lambda given: {k: as_numpy(torch.as_tensor(v)) for k, v in given.items()},
        array_of=array_of,
        unwrapped=_innermost,
    )
    return common.to_arviz(host, run, first, run.trained(), loss)


def read_program(
    what: str, program: tuple[Any, ...]
) -> tuple[Any, Any, dict[str, Any] | None, tuple, Any]:
    """Returns model, guide, parameters, arguments, and what else the program says.

    :param what: who takes it, for the messages.
    :raises TypeError: if it is given in none of its forms.
    """
    more = "where the result or the parameters may be None for the parameter store; "
    found = given(what, program, SVI, more)
    # The host keeps the bound method of the ELBO, not the ELBO.
    loss = None if found.svi is None else getattr(found.svi.loss, "__self__", found.svi.loss)
    return found.model, found.guide, _params(what, found.params), found.args, loss


def _params(what: str, result: Any) -> dict[str, Any] | None:
    params = getattr(result, "params", result)
    if params is None or isinstance(params, Mapping):
        return None if params is None else dict(params)
    raise TypeError(
        f"{what}: the parameters must be what fit returned, a dict from names to tensors, or None "
        f"for the parameter store, got {type(result).__name__}"
    )


def draw_all(
    run: Sampler,
    one: Callable[[], Batch],
    num_draws: int,
    asked: int | None,
    parallel: bool | None,
) -> dict[str, dict[str, np.ndarray]]:
    """Returns as many draws as are wanted, batch by batch, by group and variable."""
    first = one()
    size = size_of_batch(
        num_draws, sum(v.nbytes for vs in first.values() for v in vs.values()), asked
    )
    if parallel is None:
        parallel = run.vectorises(size)
    if not parallel:

        def single(start: int) -> Batch:
            return {g: {n: v[None] for n, v in vs.items()} for g, vs in one().items()}

        return collect(num_draws, 1, single)

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


def _innermost(model: Any) -> Any:
    # Handlers hide the signature of what they wrap.
    model = unwrap(model)
    return _innermost(model.fn) if isinstance(model, RelaxedModule) else model


def array_of(value: Any) -> np.ndarray | None:
    """Returns an argument as an array, or None for what is no array of numbers."""
    if not isinstance(value, torch.Tensor | np.ndarray):
        return None
    array = as_numpy(value)
    return array if array.dtype.kind in "biuf" else None
