"""The joint laws of a dependent guide against enumeration."""

from __future__ import annotations

import importlib
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from scipy import special

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
            if law == "PrefixTree":
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
@pytest.mark.parametrize("law", ["PrefixTree", "Autoregressive"])
def test_joint_laws_against_enumeration(host: Any, law: str) -> None:
    depth, size, hidden = 3, 3, 2
    rng = np.random.default_rng(1)
    shapes: dict[str, tuple[int, ...]] = {"tree": (13, size)}
    if law == "Autoregressive":
        rows = depth * size
        shapes = {
            "logits": (depth, size), "linear": (rows, rows), "into": (hidden, rows),
            "bias": (hidden,), "out": (rows, hidden),
        }  # fmt: skip
    p = {name: rng.normal(size=(2, *shape)) for name, shape in shapes.items()}
    laws = importlib.import_module(f"relaxppl.{host.name}.auto.laws")
    fn = getattr(laws, law)(**{name: host.array(x) for name, x in p.items()})
    assert tuple(fn.event_shape) == (depth, size)
    values = np.eye(size)[list(itertools.product(range(size), repeat=depth))]
    expected = np.stack([chances(law, {n: x[i] for n, x in p.items()}, values) for i in range(2)])
    shape = (20_000,)
    if host.name == "numpyro":

        @jax.jit
        def known(key: Any) -> Any:
            made = (fn.mean, fn.entropy()) if law == "PrefixTree" else ()
            return fn.log_prob(jnp.asarray(values[:, None])), fn.sample(key, shape), made

        log_p, draws, moments = jax.tree.map(np.asarray, known(jax.random.key(0)))
    else:
        torch.manual_seed(0)
        log_p, draws = fn.log_prob(host.array(values[:, None])).numpy(), fn.sample(shape).numpy()
        moments = (fn.mean.numpy(), fn.entropy().numpy()) if law == "PrefixTree" else ()
    found = np.exp(log_p)
    np.testing.assert_allclose(found.T, expected, rtol=1e-9)
    digits = draws.argmax(-1) @ size ** np.arange(depth)[::-1]
    for i in range(2):
        share = np.bincount(digits[:, i], minlength=len(values)) / len(draws)
        error = 5 * np.sqrt(expected[i] / len(draws)) + 1e-4
        assert np.all(np.abs(share - expected[i]) < error)
    if law == "PrefixTree":
        mean = np.einsum("is,sdk->idk", expected, values)
        np.testing.assert_allclose(moments[0], mean, atol=1e-9)
        np.testing.assert_allclose(moments[1], -(expected * np.log(expected)).sum(-1), rtol=1e-9)
        np.testing.assert_array_equal(host.numpy(fn.enumerate_support(expand=False))[:, 0], values)
