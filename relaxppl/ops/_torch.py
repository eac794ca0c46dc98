"""The operations on torch tensors."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from torch._C import _functorch
from torch.utils._pytree import tree_flatten, tree_unflatten

from relaxppl.ops._matching import best_columns
from relaxppl.ops._series import FAR_TAIL, log_ndtr_tail

exp, log, log1p, expm1, sqrt, abs = (
    torch.exp,
    torch.log,
    torch.log1p,
    torch.expm1,
    torch.sqrt,
    torch.abs,
)
cos, logaddexp = torch.cos, torch.logaddexp
sigmoid, log_sigmoid = torch.sigmoid, functional.logsigmoid
ndtr, ndtri = torch.special.ndtr, torch.special.ndtri
gammaln = torch.special.gammaln
where = torch.where
# These take axis and keepdims for dim and keepdim.
sum, max, min, argmax = torch.sum, torch.amax, torch.amin, torch.argmax
cumsum, logcumsumexp, logsumexp = torch.cumsum, torch.logcumsumexp, torch.logsumexp
concatenate, stack, take_along_axis = torch.cat, torch.stack, torch.take_along_dim
matmul = torch.matmul
broadcast_to, broadcast_arrays = torch.broadcast_to, torch.broadcast_tensors
moveaxis = torch.movedim  # torch.moveaxis has no rule for vmap.
zeros_like, full_like = torch.zeros_like, torch.full_like
minimum, maximum = torch.minimum, torch.maximum


def softplus(x: Any) -> Any:
    # torch's own softplus returns its argument above 20, which is wrong by 2e-9 in float64.
    return -functional.logsigmoid(-x)


def log_ndtr(x: Any) -> Any:
    # The derivative of the host's own is wrong below -1000 in float32.
    far = x < FAR_TAIL
    tail = log_ndtr_tail(torch.where(far, x, FAR_TAIL), torch.log)
    return torch.where(far, tail, torch.special.log_ndtr(torch.where(far, FAR_TAIL, x)))


def cholesky(matrix: Any) -> Any:
    """The lower factor; of a matrix that is not positive definite, no meaningful one."""
    # torch.linalg.cholesky waits for the device to learn whether it failed.
    return torch.linalg.cholesky_ex(matrix).L


def clip(x: Any, low: Any = None, high: Any = None) -> Any:
    return torch.clamp(x, low, high)


def at_least(x: Any, low: float) -> Any:
    """Raises what is below a number to it; the gradient there, and at the number, is zero."""
    # The derivative of clamp takes several times as long.
    return functional.threshold(x, low, low)


_SHORT_ROW = 5
"""Below this many classes the host's softmax kernels take up to three times what parts take."""


def softmax(x: Any, axis: int) -> Any:
    if not 0 < x.shape[axis] < _SHORT_ROW:
        return torch.softmax(x, dim=axis)
    weights = torch.exp(x - torch.amax(x.detach(), dim=axis, keepdim=True))
    return weights / torch.sum(weights, dim=axis, keepdim=True)


def log_softmax(x: Any, axis: int) -> Any:
    if not 0 < x.shape[axis] < _SHORT_ROW:
        return torch.log_softmax(x, dim=axis)
    x = x - torch.amax(x.detach(), dim=axis, keepdim=True)
    return x - torch.log(torch.sum(torch.exp(x), dim=axis, keepdim=True))


def scan(step: Callable[[Any, Any], tuple[Any, Any]], carry: Any, xs: Any) -> tuple[Any, Any]:
    """Runs (carry, x) -> (carry, y) over the first axis of xs; returns the last carry and the ys.

    :param xs: a tensor or a tuple of tensors; without a step the ys are as many carries.
    """
    several = isinstance(xs, tuple)
    rows = zip(*(x.unbind(0) for x in xs), strict=True) if several else xs.unbind(0)
    ys = []
    for row in rows:
        carry, y = step(carry, row)
        ys.append(y)
    return carry, torch.stack(ys) if ys else carry.new_empty((0, *carry.shape))


def flip(x: Any, axis: int) -> Any:
    return torch.flip(x, dims=(axis,))


def top_k(x: Any, k: int) -> Any:
    """Indices of the k largest along the last axis, in decreasing order."""
    return torch.topk(x, k, dim=-1).indices


def one_hot(index: Any, size: int, reference: Any) -> Any:
    """One-hot vectors along a new last axis, of the reference's dtype."""
    return functional.one_hot(index.long(), size).to(reference.dtype)


def solve_triangular(matrix: Any, vector: Any) -> Any:
    """Solves lower-triangular systems with one right-hand side each, batched by broadcasting."""
    if matrix.ndim == 2:
        # One matrix for all: broadcast, it and its gradient would be there once for each vector.
        columns = vector.reshape(-1, vector.shape[-1]).mT
        solved = torch.linalg.solve_triangular(matrix, columns, upper=False)
        return solved.mT.reshape(vector.shape)
    return torch.linalg.solve_triangular(matrix, vector.unsqueeze(-1), upper=False).squeeze(-1)


def matvec(matrix: Any, vector: Any) -> Any:
    """Products of matrices with one vector each, batched by broadcasting."""
    if matrix.ndim == 2:
        return torch.matmul(vector, matrix.mT)
    return torch.matmul(matrix, vector.unsqueeze(-1)).squeeze(-1)


def transpose(matrix: Any) -> Any:
    """Exchanges the last two axes."""
    return torch.transpose(matrix, -1, -2)


def diagonal(matrix: Any) -> Any:
    return torch.diagonal(matrix, dim1=-2, dim2=-1)


def linear_assignment(scores: Any) -> Any:
    """The column of each row in the matching of largest sum; of (..., n, n) matrices, (..., n)."""
    columns = best_columns(scores.detach().cpu().numpy())
    return torch.as_tensor(columns, dtype=torch.long, device=scores.device)


def cast(x: Any, reference: Any) -> Any:
    """Converts a mask or integers to the reference's dtype."""
    return x.to(reference.dtype)


def integers(x: Any) -> Any:
    """Converts whole numbers to the backend's default integers."""
    return x.long()


def size(x: Any) -> int:
    """The length of the last axis, a Python number even while torch.jit traces.

    There a length is an integer tensor, whose product with a Python float is of float32.
    """
    length = x.shape[-1]
    if not torch.jit.is_tracing():
        return length
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        return int(length)


def like(reference: Any, constant: Any) -> Any:
    """A constant as an array of the reference's dtype and device."""
    return torch.as_tensor(np.asarray(constant), dtype=reference.dtype, device=reference.device)


def known(x: Any) -> np.ndarray | None:
    """The numbers in a tensor, as NumPy's; None where a transformation hides them."""
    if not _functorch.is_functorch_wrapped_tensor(x):
        return x.detach().cpu().numpy()
    while _functorch.is_gradtrackingtensor(x):
        x = _functorch.get_unwrapped(x)
    # Any operation on what was unwrapped would wrap it again.
    return None if _functorch.is_functorch_wrapped_tensor(x) else np.array(x.tolist())


def tiny(x: Any) -> float:
    return torch.finfo(x.dtype).tiny


def eps(x: Any) -> float:
    return torch.finfo(x.dtype).eps


def stop_gradient(x: Any) -> Any:
    return x.detach()


def value_and_grad(fn: Callable[[Any], Any], x: Any) -> tuple[Any, Any, Any]:
    """Evaluates ``fn(x) -> (scalar, aux)``; returns the scalar, its gradient in x, and aux.

    x and aux may be any pytrees of tensors; a tensor that the scalar does not use has gradient
    zero. Nests in itself and in :func:`vjp`. Nothing but x is differentiated, so that tensors which
    ``fn`` closes over cost nothing.
    """
    # autograd.grad rather than torch.func.grad: under the latter's wrappers the programs of a host
    # do not all run, and it always builds the graph of the gradient, which only nesting needs.
    nested = _nesting.depth > 0
    leaves, spec = tree_flatten(x)
    _nesting.depth += 1
    try:
        with torch.enable_grad():
            leaves = [_inner(leaf, nested) for leaf in leaves]
            value, aux = fn(tree_unflatten(leaves, spec))
            grads = _grad(value, leaves, nested)
    finally:
        _nesting.depth -= 1
    return value if nested else value.detach(), tree_unflatten(grads, spec), aux


def grads_apart(fn: Callable[[Any], Any], xs: list[Any]) -> tuple[list[Any], Any]:
    """Evaluates ``fn(xs) -> (scalars, aux)``; returns each scalar's gradient in its x, and aux.

    There are as many scalars as xs, each any pytree. What a scalar owes to another x is left out.
    Nests as :func:`value_and_grad` does.
    """
    nested = _nesting.depth > 0
    flat, specs = zip(*map(tree_flatten, xs), strict=True)
    _nesting.depth += 1
    try:
        with torch.enable_grad():
            leaves = [[_inner(leaf, nested) for leaf in one] for one in flat]
            values, aux = fn(list(map(tree_unflatten, leaves, specs)))
            grads = [
                _grad(value, one, nested, retain=i + 1 < len(xs))
                for i, (value, one) in enumerate(zip(values, leaves, strict=True))
            ]
    finally:
        _nesting.depth -= 1
    return list(map(tree_unflatten, grads, specs)), aux


class _Nesting(threading.local):
    depth = 0


_nesting = _Nesting()


def _leaf(x: Any) -> Any:
    """A new leaf of the graph with x's value."""
    return x.detach().requires_grad_()


def _inner(x: Any, nested: bool) -> Any:
    return x.view_as(x) if nested and x.requires_grad else _leaf(x)


def _grad(value: Any, leaves: list[Any], nested: bool, retain: bool = False) -> list[Any]:
    if not value.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    grads = torch.autograd.grad(
        value, leaves, allow_unused=True, create_graph=nested, retain_graph=nested or retain
    )
    return [
        torch.zeros_like(leaf) if grad is None else grad
        for leaf, grad in zip(leaves, grads, strict=True)
    ]


def vjp(fn: Callable[[Any], Any], x: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Evaluates fn at x; returns its value and the function that pulls a cotangent back to x.

    x and the value may be any pytrees of tensors. Gradients inside fn are differentiated too:
    reverse mode over reverse mode. The pullback can be called once.
    """
    leaves, spec = tree_flatten(x)
    _nesting.depth += 1
    try:
        with torch.enable_grad():
            leaves = [_leaf(leaf) for leaf in leaves]
            out = fn(tree_unflatten(leaves, spec))
    finally:
        _nesting.depth -= 1
    values, out_spec = tree_flatten(out)

    def pullback(cotangent: Any) -> Any:
        pairs = zip(values, tree_flatten(cotangent)[0], strict=True)
        used = [(value, given) for value, given in pairs if value.requires_grad]
        if not used:
            return tree_unflatten([torch.zeros_like(leaf) for leaf in leaves], spec)
        outputs, cotangents = zip(*used, strict=True)
        grads = torch.autograd.grad(outputs, leaves, cotangents, allow_unused=True)
        pulled = [
            torch.zeros_like(leaf) if grad is None else grad
            for leaf, grad in zip(leaves, grads, strict=True)
        ]
        return tree_unflatten(pulled, spec)

    return tree_unflatten([value.detach() for value in values], out_spec), pullback
