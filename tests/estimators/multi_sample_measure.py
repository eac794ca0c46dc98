"""How far gradients of a bound of K draws lie from the enumerated ones, on either host."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pyro
import torch

from tests.estimators.distance import distance
from tests.estimators.multi_sample_case import SEEN, Case


class Outcome(NamedTuple):
    worst: float
    """The largest distance of a mean gradient from the exact one, in standard errors."""
    value: float
    """That of the mean bound."""
    error: float
    """The gradient's standard error, relative to its norm."""


def measure(
    host: Any, case: Case, elbo: Any, draws: int, calls: int, exact: str = "bound"
) -> Outcome:
    """Returns how far the mean of draws * calls gradients and bounds lies from the exact one.

    :param exact: the function of the case that has the gradient.
    """
    count = elbo.num_particles if elbo.estimator.multi_sample else 1
    model, guide = case.build(host, draws)
    one = _numpyro(elbo, case, model, guide, draws) if host.name == "numpyro" else None
    solve = _solver(case, count, exact)
    if one is None:
        pyro.clear_param_store()
        torch.manual_seed(0)
    values, sums, squares, norm = [], {}, {}, 0.0
    for call in range(calls):
        value, grads, rows = one(call) if one is not None else _pyro(elbo, case, model, guide)
        truth, exact_grads = solve(case.values(), jnp.asarray(rows, int))
        values.append(value / draws + float(truth))
        for name, right in exact_grads.items():
            gap = grads[name] + np.asarray(right)
            sums[name] = sums.get(name, 0.0) + gap.sum(0)
            squares[name] = squares.get(name, 0.0) + (gap**2).sum(0)
            norm += float((right**2).sum()) / calls
    total, worst, spread = draws * calls, 0.0, 0.0
    for name in sums:
        mean = sums[name] / total
        variance = np.maximum(squares[name] / total - mean**2, 0.0)
        worst = max(worst, distance(mean, variance, total, exact_grads[name]))
        spread += variance.sum()
    value = abs(np.mean(values)) / (np.std(values, ddof=1) / len(values) ** 0.5)
    return Outcome(worst, float(value), float((spread / total / norm) ** 0.5))


_SOLVERS: dict[Any, Any] = {}


def _solver(case: Case, count: int, exact: str) -> Any:
    """Returns a compiled function to the exact bound and gradient; one for both hosts."""

    def both(p: Any, rows: Any) -> Any:
        value, grads = jax.value_and_grad(case.bound)(p, rows, count)
        if exact != "bound":
            grads = jax.grad(getattr(case, exact))(p, rows, count)
        return value, grads

    return _SOLVERS.setdefault((id(case.table), count, exact), jax.jit(both))


def _numpyro(elbo: Any, case: Case, model: Any, guide: Any, draws: int) -> Any:
    params = {n: jnp.broadcast_to(x, (draws, *x.shape)) for n, x in case.values().items()}

    @jax.jit
    def step(seed: Any) -> Any:
        def loss(params: Any) -> Any:
            value = elbo.loss(jax.random.key(seed), params, model, guide)
            return value, SEEN["rows"] if case.subsampled else jnp.zeros(0)

        (value, rows), grads = jax.value_and_grad(loss, has_aux=True)(params)
        return value, grads, rows

    def one(seed: int) -> Any:
        value, grads, rows = step(seed)
        return float(value), {n: np.asarray(g) for n, g in grads.items()}, np.asarray(rows)

    return one


def _pyro(elbo: Any, case: Case, model: Any, guide: Any) -> Any:
    value = elbo.loss_and_grads(model, guide)
    grads = {}
    for name in case.params:
        leaf = pyro.param(name).unconstrained()
        grads[name], leaf.grad = leaf.grad.numpy(), None
    return value, grads, SEEN["rows"].numpy() if case.subsampled else ()
