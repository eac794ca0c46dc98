"""From a trained guide to ArviZ: draws, predictions, log densities and where they come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from numpyro.infer import SVI
from numpyro.infer.svi import SVIRunResult, SVIState

from relaxppl.common.arviz import convert as common
from relaxppl.common.arviz.draws import batch_size as size_of_batch
from relaxppl.common.arviz.draws import collect
from relaxppl.common.arviz.program import given
from relaxppl.common.arviz.request import Request
from relaxppl.common.arviz.tree import require
from relaxppl.common.docstring import documented_by
from relaxppl.numpyro.arviz.sampler import Sampler


@documented_by(common.to_arviz, Request)
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
    *args, rng_key=key)``.

    :param program: an ``SVI`` and what training it returned (an ``SVIRunResult``, an ``SVIState``
        or the parameters), or a model, a guide and the parameters by name; then the positional
        arguments of model and guide.
    :param rng_key: a PRNG key.
    :param parallel: whether the draws of a batch run vectorised; False runs them in turn, for
        programs that ``vmap`` cannot take.
    """
    require()
    what = (posterior_predictive, log_likelihood, prior, correct, coords, dims, constant_data)
    request = Request(num_draws, batch_size, *what, particles=particles)
    model, guide, params, args, loss, static = read_program("to_arviz", program)
    run = Sampler(model, guide, params, args, {**static, **kwargs}, request)
    first = run.prototype(rng_key)
    keys = jax.random.split(rng_key)

    def generator() -> np.random.Generator:
        bits = jax.random.bits(jax.random.fold_in(rng_key, 2), (4,))
        return np.random.default_rng(np.asarray(bits))

    host = common.Host(
        name="numpyro",
        packages=("numpyro", "jax", "jaxlib", "numpy", "arviz"),
        draw=lambda one, count, i: draw_all(one, keys[i], count, batch_size, parallel),
        generator=generator,
        arrays=lambda given: {k: np.asarray(v) for k, v in given.items()},
        array_of=array_of,
        unwrapped=_innermost,
    )
    return common.to_arviz(host, run, first, params, loss)


def read_program(
    what: str, program: tuple[Any, ...]
) -> tuple[Any, Any, dict[str, Any], tuple[Any, ...], Any, Any]:
    """Returns model, guide, parameters, arguments, and what else the program says.

    :param what: who takes it, for the messages.
    :raises TypeError: if it is given in none of its forms.
    """
    found = given(what, program, SVI, "then keyword arguments; ")
    params = _params(what, found.svi, found.params)
    loss, static = (None, {}) if found.svi is None else (found.svi.loss, found.svi.static_kwargs)
    return found.model, found.guide, params, found.args, loss, static


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
