"""NumPyro for tests."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro

import relaxppl.numpyro
from tests.adapter.base import Host, called, is_static


def _scored(dist: Any, key: Any, shape: tuple[int, ...], density: bool) -> tuple[Any, Any, Any]:
    value = dist.sample(key, shape)
    return value, dist.support(value), dist.log_prob(value) if density else None


_sample = jax.jit(lambda dist, key, shape: dist.sample(key, shape), static_argnums=2)
_noise = jax.jit(lambda dist, key, shape: dist.draw_noise(key, shape), static_argnums=2)
_from_noise = jax.jit(lambda dist, noise: dist.from_noise(noise))
_log_prob = jax.jit(lambda dist, value: dist.log_prob(value))
_call = jax.jit(called, static_argnums=1)
_inside = jax.jit(lambda dist, value: dist.support(value))
_draw_and_score = jax.jit(_scored, static_argnums=(2, 3))


class NumPyro(Host):
    name, rx, lib = "numpyro", relaxppl.numpyro, numpyro
    dist, handlers = numpyro.distributions, numpyro.handlers
    sample, plate = staticmethod(numpyro.sample), staticmethod(numpyro.plate)

    def array(self, value, dtype="float64"):
        return jnp.asarray(value, dtype=dtype)

    def numpy(self, value):
        return np.asarray(value)

    def trace(self, fn, *args, seed=0):
        seeded = numpyro.handlers.seed(fn, jax.random.key(seed))
        return numpyro.handlers.trace(seeded).get_trace(*args)

    def site_log_prob(self, site):
        log_prob = site["fn"].log_prob(site["value"])
        scale = site["scale"]
        return log_prob if scale is None else scale * log_prob

    # Compiled whole and kept for every test of the same shapes: one by one, the operations of all
    # classes at all shapes would cost minutes of compilation.

    def draw(self, dist, seed, shape=()):
        return _sample(dist, jax.random.key(seed), tuple(shape))

    def noise(self, dist, seed, shape=()):
        return np.asarray(_noise(dist, jax.random.key(seed), tuple(shape)))

    def from_noise(self, dist, noise, dtype="float64"):
        return np.asarray(_from_noise(dist, self.array(noise, dtype)))

    def log_prob(self, dist, value, dtype="float64"):
        return np.asarray(_log_prob(dist, self.array(value, dtype)))

    def call(self, dist, name, *args):
        return np.asarray(_call(dist, name, *args))

    def inside(self, dist, value):
        return np.asarray(_inside(dist, value))

    def scored(self, dist, seed, shape=(), density=True):
        return _draw_and_score(dist, jax.random.key(seed), tuple(shape), density)

    def results(self, fn, dist):
        return jax.eval_shape(fn, dist)

    def value_and_grad(self, fn, inputs, dtype="float64"):
        fixed = {n: v for n, v in inputs.items() if is_static(v)}
        free = {n: self.array(v, dtype) for n, v in inputs.items() if n not in fixed}
        value, grads = jax.jit(jax.value_and_grad(lambda free: fn({**free, **fixed})))(free)
        return float(value), {n: np.asarray(g) for n, g in grads.items()}

    def gradients(self, fns, inputs, dtype):
        fixed = {n: v for n, v in inputs.items() if is_static(v)}
        free = {n: self.array(v, dtype) for n, v in inputs.items() if n not in fixed}
        both = jax.jit(lambda free: [jax.grad(lambda x, f=f: f({**x, **fixed}))(free) for f in fns])
        return jax.tree.map(np.asarray, both(free))

    def vmap(self, fn, *args):
        return jax.vmap(fn)(*args)

    def compiled(self, fn):
        return jax.jit(fn)

    def with_gradient(self, fn):
        return jax.value_and_grad(fn, has_aux=True)
