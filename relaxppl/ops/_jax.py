"""The operations on JAX arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special as special
import numpy as np

from relaxppl.ops._matching import best_columns
from relaxppl.ops._series import FAR_TAIL, log_ndtr_tail

exp, log, log1p, expm1, sqrt, abs = jnp.exp, jnp.log, jnp.log1p, jnp.expm1, jnp.sqrt, jnp.abs
cos, logaddexp = jnp.cos, jnp.logaddexp
sigmoid, log_sigmoid, softplus = jax.nn.sigmoid, jax.nn.log_sigmoid, jax.nn.softplus
ndtr, ndtri = special.ndtr, special.ndtri
gammaln = special.gammaln
where = jnp.where
sum, max, min, argmax, cumsum = jnp.sum, jnp.max, jnp.min, jnp.argmax, jnp.cumsum
logsumexp = special.logsumexp
softmax, log_softmax = jax.nn.softmax, jax.nn.log_softmax
concatenate, stack, flip = jnp.concatenate, jnp.stack, jnp.flip
take_along_axis = jnp.take_along_axis
broadcast_to, broadcast_arrays = jnp.broadcast_to, jnp.broadcast_arrays
moveaxis = jnp.moveaxis
zeros_like, full_like = jnp.zeros_like, jnp.full_like
cholesky = jnp.linalg.cholesky
stop_gradient = jax.lax.stop_gradient


def clip(x: Any, low: Any = None, high: Any = None) -> Any:
    # Not jnp.clip: its gradient outside is a product with 0, which an infinite cotangent makes NaN.
    x = x if low is None else jnp.where(x < low, low, x)
    return x if high is None else jnp.where(x > high, high, x)


def at_least(x: Any, low: float) -> Any:
    return clip(x, low)


def minimum(a: Any, b: Any) -> Any:
    # Not jnp.minimum, for the same reason.
    return jnp.where((a < b) | (a != a), a, b)


def maximum(a: Any, b: Any) -> Any:
    return jnp.where((a > b) | (a != a), a, b)


def log_ndtr(x: Any) -> Any:
    # The derivative of the host's own is wrong below -1000 in float32.
    far = x < FAR_TAIL
    tail = log_ndtr_tail(jnp.where(far, x, FAR_TAIL), jnp.log)
    return jnp.where(far, tail, special.log_ndtr(jnp.where(far, FAR_TAIL, x)))


def logcumsumexp(x: Any, axis: int) -> Any:
    return jax.lax.cumlogsumexp(x, axis=axis % x.ndim)


def scan(step: Callable[[Any, Any], tuple[Any, Any]], carry: Any, xs: Any) -> tuple[Any, Any]:
    """Runs (carry, x) -> (carry, y) over the first axis of xs; returns the last carry and the ys.

    :param xs: an array or a tuple of arrays; without a step the ys are as many carries.
    """
    return jax.lax.scan(step, carry, xs)


def top_k(x: Any, k: int) -> Any:
    """Indices of the k largest along the last axis, in decreasing order."""
    return jax.lax.top_k(x, k)[1]


def one_hot(index: Any, size: int, reference: Any) -> Any:
    """One-hot vectors along a new last axis, of the reference's dtype."""
    return jax.nn.one_hot(index, size, dtype=reference.dtype)


def solve_triangular(matrix: Any, vector: Any) -> Any:
    """Solves lower-triangular systems with one right-hand side each, batched by broadcasting."""
    if matrix.ndim == 2:
        # One matrix for all: broadcast, it and its gradient would be there once for each vector.
        columns = vector.reshape(-1, vector.shape[-1]).T
        solved = jax.scipy.linalg.solve_triangular(matrix, columns, lower=True)
        return solved.T.reshape(vector.shape)
    batch = jnp.broadcast_shapes(matrix.shape[:-2], vector.shape[:-1])
    size = vector.shape[-1]
    return jax.scipy.linalg.solve_triangular(
        jnp.broadcast_to(matrix, (*batch, size, size)),
        jnp.broadcast_to(vector, (*batch, size))[..., None],
        lower=True,
    )[..., 0]


def matmul(a: Any, b: Any) -> Any:
    # A GPU's default for float32 keeps ten bits of the factors.
    return jnp.matmul(a, b, precision="highest")


def matvec(matrix: Any, vector: Any) -> Any:
    """Products of matrices with one vector each, batched by broadcasting."""
    return jnp.matmul(matrix, vector[..., None])[..., 0]


def transpose(matrix: Any) -> Any:
    """Exchanges the last two axes."""
    return jnp.swapaxes(matrix, -1, -2)


def diagonal(matrix: Any) -> Any:
    return jnp.diagonal(matrix, axis1=-2, axis2=-1)


def linear_assignment(scores: Any) -> Any:
    """The column of each row in the matching of largest sum; of (..., n, n) matrices, (..., n)."""
    shape = jax.ShapeDtypeStruct(scores.shape[:-1], jnp.int32)
    return jax.pure_callback(
        best_columns, shape, stop_gradient(scores), vmap_method="broadcast_all"
    )


def cast(x: Any, reference: Any) -> Any:
    """Converts a mask or integers to the reference's dtype."""
    return x.astype(reference.dtype)


def integers(x: Any) -> Any:
    """Converts whole numbers to the backend's default integers."""
    return x.astype(int)


def size(x: Any) -> int:
    """The length of the last axis."""
    return x.shape[-1]


def like(reference: Any, constant: Any) -> Any:
    """A constant as an array of the reference's dtype and device."""
    # A constant stays a value that can be looked at inside jit.
    with jax.ensure_compile_time_eval():
        return jnp.asarray(np.asarray(constant), dtype=reference.dtype)


def known(x: Any) -> np.ndarray | None:
    """The numbers in an array, as NumPy's; None where a transformation hides them."""
    # Under grad alone they are known, once the gradient is left out; a constant is, inside jit too.
    with jax.ensure_compile_time_eval():
        x = jax.lax.stop_gradient(x)
    return None if isinstance(x, jax.core.Tracer) else np.asarray(x)


def tiny(x: Any) -> float:
    return float(jnp.finfo(x.dtype).tiny)


def eps(x: Any) -> float:
    return float(jnp.finfo(x.dtype).eps)


def value_and_grad(fn: Callable[[Any], Any], x: Any) -> tuple[Any, Any, Any]:
    """Evaluates ``fn(x) -> (scalar, aux)``; returns the scalar, its gradient in x, and aux.

    x may be any pytree.
    """
    (value, aux), grad = jax.value_and_grad(fn, has_aux=True)(x)
    return value, grad, aux


def grads_apart(fn: Callable[[Any], Any], xs: list[Any]) -> tuple[list[Any], Any]:
    """Evaluates ``fn(xs) -> (scalars, aux)``; returns each scalar's gradient in its x, and aux.

    There are as many scalars as xs, each any pytree. What a scalar owes to another x is left out.
    """
    if len(xs) == 1:
        _, grad, aux = value_and_grad(lambda x: _first(fn([x])), xs[0])
        return [grad], aux
    scalars, along, aux = jax.linearize(fn, xs, has_aux=True)
    grads = []
    for i, scalar in enumerate(scalars):
        # The transpose computes what leads to this scalar alone.
        alone = jax.linear_transpose(lambda tangents, i=i: along(tangents)[i], xs)
        grads.append(alone(jnp.ones_like(scalar))[0][i])
    return grads, aux


def _first(found: tuple[list[Any], Any]) -> tuple[Any, Any]:
    return found[0][0], found[1]


def vjp(fn: Callable[[Any], Any], x: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Evaluates fn at x; returns its value and the function that pulls a cotangent back to x."""
    value, pullback = jax.vjp(fn, x)
    return value, lambda cotangent: pullback(cotangent)[0]
