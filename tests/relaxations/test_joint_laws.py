"""The joint laws of a dependent guide against enumeration."""

from __future__ import annotations

import importlib
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from scipy import special

from relaxppl import ops
from relaxppl.common.auto.tree import joint_logits, rows_of
from tests.adapter import both

NONE: frozenset[str] = frozenset()


def chances(law: str, p: dict[str, np.ndarray], values: np.ndarray) -> np.ndarray:
    """The probability of each value, (S, D, K), one variable after the other."""
    depth, size = values.shape[1:]
    found = []
    for rows in values:
        total, prefix = 0.0, 0
        start = 0
        for d in range(depth):
            if law == "tree":
                logits = p["tree"][start + prefix]
            else:
                y = np.where(np.arange(depth)[:, None] < d, rows - 1.0 / size, 0.0).ravel()
                own = slice(d * size, (d + 1) * size)
                logits = p["logits"][d] + p["linear"][own] @ y
                logits = logits + p["out"][own] @ np.tanh(p["bias"] + p["into"] @ y)
            k = int(rows[d].argmax())
            total += special.log_softmax(logits)[k]
            prefix, start = prefix * size + k, start + size**d
        found.append(np.exp(total))
    return np.array(found)


@both
def test_a_tree_against_enumeration(host: Any) -> None:
    depth, size = 3, 3
    tree = np.random.default_rng(1).normal(size=(2, 13, size))
    values = np.eye(size)[list(itertools.product(range(size), repeat=depth))]
    expected = np.stack([chances("tree", {"tree": t}, values) for t in tree])
    found = joint_logits(host.array(tree))
    np.testing.assert_allclose(np.exp(host.numpy(found)), expected, rtol=1e-9)
    numbers = ops.argmax(host.array(np.eye(len(values))), axis=-1)
    np.testing.assert_array_equal(host.numpy(rows_of(numbers, depth, size, found)), values)


@both
def test_a_sequence_against_enumeration(host: Any) -> None:
    depth, size, hidden = 3, 3, 2
    rng = np.random.default_rng(1)
    rows = depth * size
    shapes: dict[str, tuple[int, ...]] = {
        "logits": (depth, size), "linear": (rows, rows), "into": (hidden, rows),
        "bias": (hidden,), "out": (rows, hidden),
    }  # fmt: skip
    p = {name: rng.normal(size=(2, *shape)) for name, shape in shapes.items()}
    laws = importlib.import_module(f"relaxppl.{host.name}.auto.laws")
    fn = laws.Autoregressive(**{name: host.array(x) for name, x in p.items()})
    assert tuple(fn.event_shape) == (depth, size)
    values = np.eye(size)[list(itertools.product(range(size), repeat=depth))]
    each = ({n: x[i] for n, x in p.items()} for i in range(2))
    expected = np.stack([chances("sequence", rows, values) for rows in each])
    shape = (20_000,)
    if host.name == "numpyro":

        @jax.jit
        def known(key: Any) -> Any:
            return fn.log_prob(jnp.asarray(values[:, None])), fn.sample(key, shape)

        log_p, draws = jax.tree.map(np.asarray, known(jax.random.key(0)))
    else:
        torch.manual_seed(0)
        log_p, draws = fn.log_prob(host.array(values[:, None])).numpy(), fn.sample(shape).numpy()
    found = np.exp(log_p)
    np.testing.assert_allclose(found.T, expected, rtol=1e-9)
    digits = draws.argmax(-1) @ size ** np.arange(depth)[::-1]
    for i in range(2):
        share = np.bincount(digits[:, i], minlength=len(values)) / len(draws)
        error = 5 * np.sqrt(expected[i] / len(draws)) + 1e-4
        assert np.all(np.abs(share - expected[i]) < error)
