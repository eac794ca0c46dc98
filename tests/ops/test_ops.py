"""The array functions: one meaning in both tables, NumPy's."""

from __future__ import annotations

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from relaxppl import ops

X = np.array([[-np.inf, -1.0, 0.0], [2.0, np.inf, np.nan]])
Y = np.array([1.0, -2.0, 0.0])
M = np.array([[0.3, -1.2, 2.0], [1.5, 0.4, -0.7]])
CALLS = {
    "zeros_like": ((X,), {}, np.zeros_like(X)),
    "full_like": ((X, 3), {}, np.full_like(X, 3.0)),
    "minimum": ((X, Y), {}, np.minimum(X, Y)),
    "maximum": ((X, Y), {}, np.maximum(X, Y)),
    "sum": ((M,), {"axis": (0, 1)}, M.sum((0, 1))),
    "argmax": ((M,), {"axis": -1}, M.argmax(-1)),
    "logsumexp": ((M,), {"axis": 0, "keepdims": True}, np.log(np.exp(M).sum(0, keepdims=True))),
    "softmax": ((M,), {"axis": 0}, np.exp(M) / np.exp(M).sum(0)),
    "log_softmax": ((M,), {"axis": -1}, np.log(np.exp(M) / np.exp(M).sum(-1, keepdims=True))),
    "cumsum": ((M,), {"axis": -1}, M.cumsum(-1)),
    "logcumsumexp": ((M,), {"axis": -1}, np.log(np.exp(M).cumsum(-1))),
    "concatenate": (([M, -M],), {"axis": -1}, np.concatenate([M, -M], -1)),
    "stack": (([M, -M],), {"axis": 1}, np.stack([M, -M], 1)),
    "flip": ((M,), {"axis": -1}, np.flip(M, -1)),
    "take_along_axis": ((M, M.argsort(-1)), {"axis": -1}, np.sort(M, -1)),
    "matmul": ((M, M.T), {}, M @ M.T),
    "min": ((X[:, :2],), {"axis": -1, "keepdims": True}, X[:, :2].min(-1, keepdims=True)),
    "max": ((X[:, :2],), {"axis": -1, "keepdims": True}, X[:, :2].max(-1, keepdims=True)),
}
BACKENDS = {"jax": (jnp.asarray, jax.Array), "torch": (torch.as_tensor, torch.Tensor)}


def given(backend, args, dtype="float64"):
    def made(a):
        if isinstance(a, list):
            return [made(x) for x in a]
        if isinstance(a, np.ndarray):
            return BACKENDS[backend][0](a.astype(dtype) if a.dtype.kind == "f" else a)
        return a

    return [made(a) for a in args]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_table_has_every_function(backend):
    table = importlib.import_module(f"relaxppl.ops._{backend}")
    assert {n for n in ops.NAMES if not callable(getattr(table, n, None))} == set()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_it_is_numpys(backend, name, dtype):
    args, options, expected = CALLS[name]
    got = getattr(ops, name)(*given(backend, args, dtype), **options)
    assert isinstance(got, BACKENDS[backend][1])
    got = ops.as_numpy(got)
    assert got.dtype == (dtype if expected.dtype.kind == "f" else "int64")
    np.testing.assert_allclose(got, expected, rtol=1e-6 if dtype == "float32" else 1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_where_takes_a_number_on_either_side(backend, dtype):
    (x,) = given(backend, [Y], dtype)
    for got, expected in (
        (ops.where(x > 0.0, x, -1e30), [1.0, -1e30, -1e30]),
        (ops.where(x > 0.0, -np.inf, x), [-np.inf, -2.0, 0.0]),
    ):
        assert ops.as_numpy(got).dtype == dtype
        np.testing.assert_array_equal(ops.as_numpy(got), np.array(expected, dtype))


@pytest.mark.parametrize("backend", BACKENDS)
def test_arrays_are_broadcast_against_each_other(backend):
    a, b = ops.broadcast_arrays(*given(backend, [Y, np.ones((2, 1))]))
    np.testing.assert_array_equal(ops.as_numpy(a), [Y, Y])
    np.testing.assert_array_equal(ops.as_numpy(b), np.ones((2, 3)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_triangular_matrix_of_many_systems_is_there_once(backend):
    # Broadcast, 100 of 200 x 200 made XLA's CPU runtime wait for ever in the loop of `fit`.
    lower, vectors = np.array([[2.0, 0.0], [-1.0, 0.5]]), np.arange(24.0).reshape(3, 4, 2)
    expected = np.linalg.solve(np.broadcast_to(lower, (3, 4, 2, 2)), vectors[..., None])[..., 0]
    for matrix in (lower, np.broadcast_to(lower, (4, 2, 2))):
        got = ops.solve_triangular(*given(backend, [matrix, vectors]))
        np.testing.assert_allclose(ops.as_numpy(got), expected, rtol=1e-14)
    matrix, vectors = given(backend, [lower, vectors])
    np.testing.assert_allclose(
        ops.as_numpy(ops.solve_triangular(matrix, vectors[0, 1])), expected[0, 1], rtol=1e-14
    )

    def squares(pair):
        return ops.sum(ops.solve_triangular(*pair) ** 2, axis=(0, 1, 2)), None

    if backend == "jax":
        sizes = jax.make_jaxpr(jax.grad(lambda pair: squares(pair)[0]))((matrix, vectors))
        assert "3,4,2,2" not in str(sizes)
    inverse = np.linalg.inv(lower)
    back = np.einsum("ji,abj->abi", inverse, 2.0 * expected)
    of_matrix, of_vectors = ops.value_and_grad(squares, (matrix, vectors))[1]
    np.testing.assert_allclose(ops.as_numpy(of_vectors), back, rtol=1e-14)
    outer = -np.tril(np.einsum("abi,abj->ij", back, expected))
    np.testing.assert_allclose(ops.as_numpy(of_matrix), outer, rtol=1e-14)


def test_values_are_known_outside_of_transformations_alone():
    seen = []
    for transform, x in ((jax.jit, jnp.ones(2)), (torch.func.vmap, torch.ones(2))):
        np.testing.assert_array_equal(ops.known(x), np.ones(2))
        transform(lambda x: seen.append(ops.known(x)) or x)(x)
    assert seen == [None, None]


@pytest.mark.parametrize(("name", "least"), [("minimum", True), ("maximum", False)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_an_infinite_gradient_reaches_the_chosen_one_alone(backend, name, least):
    # A product with 0 would make that of the other NaN.
    a, b = given(backend, [np.array([1.0, 5.0]), np.array([4.0, 2.0])])

    def infinite(pair):
        return ops.sum(np.inf * getattr(ops, name)(*pair), axis=0), None

    gradients = ops.value_and_grad(infinite, (a, b))[1]
    of_a = np.array([np.inf, 0.0]) if least else np.array([0.0, np.inf])
    np.testing.assert_array_equal(ops.as_numpy(gradients[0]), of_a)
    np.testing.assert_array_equal(ops.as_numpy(gradients[1]), of_a[::-1])
