"""NumPyro and Pyro behind one interface, so that each bar is written once.

Parameters go in and values come out as NumPy arrays; static parameters (a count, a flag) are
plain Python values. Functions under test take and return arrays of the host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pyro
import torch

import relaxppl.numpyro
import relaxppl.pyro


def is_static(value: Any) -> bool:
    return isinstance(value, bool | str) or type(value) is int


def called(dist: Any, name: str, *args: Any) -> Any:
    value = getattr(dist, name)
    return value(*args) if callable(value) else value


def _scored(dist: Any, key: Any, shape: tuple[int, ...], density: bool) -> tuple[Any, Any, Any]:
    value = dist.sample(key, shape)
    return value, dist.support(value), dist.log_prob(value) if density else None


class Host:
    """What the bars need of a host."""

    name: str
    module: Any
    runtime: Any
    """The host itself: numpyro or pyro."""

    def array(self, value: Any, dtype: str = "float64") -> Any:
        raise NotImplementedError

    def numpy(self, value: Any) -> np.ndarray:
        raise NotImplementedError

    def arrays(self, params: dict[str, Any], dtype: str = "float64") -> dict[str, Any]:
        return {n: v if is_static(v) else self.array(v, dtype) for n, v in params.items()}

    def make(self, name: str, params: dict[str, Any], dtype: str = "float64", validate=True) -> Any:
        """The distribution with these NumPy parameters."""
        return self.build(name, self.arrays(params, dtype), validate)

    def build(self, name: str, arrays: dict[str, Any], validate: bool = False) -> Any:
        """The distribution with these parameters, already of the host."""
        return getattr(self.module, name)(**arrays, validate_args=validate)

    def draw(self, dist: Any, seed: int, shape: tuple[int, ...] = ()) -> Any:
        """A sample, of the host."""
        raise NotImplementedError

    def sample(self, dist: Any, seed: int, shape: tuple[int, ...] = ()) -> np.ndarray:
        return self.numpy(self.draw(dist, seed, shape))

    def noise(self, dist: Any, seed: int, shape: tuple[int, ...] = ()) -> np.ndarray:
        raise NotImplementedError

    def from_noise(self, dist: Any, noise: Any, dtype: str = "float64") -> np.ndarray:
        return self.numpy(dist.from_noise(self.array(noise, dtype)))

    def log_prob(self, dist: Any, value: Any, dtype: str = "float64") -> np.ndarray:
        return self.numpy(dist.log_prob(self.array(value, dtype)))

    def moment(self, dist: Any, name: str) -> np.ndarray:
        """The mean, variance or entropy; the hosts make some properties and some methods."""
        return self.call(dist, name)

    def call(self, dist: Any, name: str, *args: Any) -> np.ndarray:
        """What a method or a property gives, for arguments of the host."""
        return self.numpy(called(dist, name, *args))

    def inside(self, dist: Any, value: Any) -> np.ndarray:
        """Whether values are in the support."""
        raise NotImplementedError

    def draw_and_score(
        self, dist: Any, seed: int, shape: tuple[int, ...] = (), density: bool = True
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """A sample, whether it is in the support, and its log_prob."""
        raise NotImplementedError

    def results(self, fn: Callable[[Any], tuple], dist: Any) -> tuple[Any, ...]:
        """What a function of a distribution returns, or shapes and dtypes where that is cheaper."""
        raise NotImplementedError

    def value_and_grad(
        self, fn: Callable[[dict[str, Any]], Any], inputs: dict[str, Any], dtype: str = "float64"
    ) -> tuple[float, dict[str, np.ndarray]]:
        """A scalar function of arrays and its gradient in every one that is not static."""
        raise NotImplementedError

    def gradients(
        self, fns: list[Callable[[dict[str, Any]], Any]], inputs: dict[str, Any], dtype: str
    ) -> list[dict[str, np.ndarray]]:
        """The gradients of scalar functions, as one program where the host compiles."""
        return [self.value_and_grad(fn, inputs, dtype)[1] for fn in fns]

    def vmap(self, fn: Callable, *args: Any) -> Any:
        raise NotImplementedError

    def compiled(self, fn: Callable) -> Callable:
        """The same function, as one program where the host compiles."""
        raise NotImplementedError

    def with_gradient(self, fn: Callable) -> Callable:
        """From (scalar, rest) of a dict of arrays to that and the gradient, of the host."""
        raise NotImplementedError


_sample = jax.jit(lambda dist, key, shape: dist.sample(key, shape), static_argnums=2)
_noise = jax.jit(lambda dist, key, shape: dist.draw_noise(key, shape), static_argnums=2)
_from_noise = jax.jit(lambda dist, noise: dist.from_noise(noise))
_log_prob = jax.jit(lambda dist, value: dist.log_prob(value))
_call = jax.jit(called, static_argnums=1)
_inside = jax.jit(lambda dist, value: dist.support(value))
_draw_and_score = jax.jit(_scored, static_argnums=(2, 3))


class NumPyro(Host):
    name, module, runtime = "numpyro", relaxppl.numpyro, numpyro

    def array(self, value, dtype="float64"):
        return jnp.asarray(np.asarray(value), dtype=dtype)

    def numpy(self, value):
        return np.asarray(value)

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

    def draw_and_score(self, dist, seed, shape=(), density=True):
        out = _draw_and_score(dist, jax.random.key(seed), tuple(shape), density)
        return jax.tree.map(np.asarray, out)

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


class Pyro(Host):
    name, module, runtime = "pyro", relaxppl.pyro, pyro

    def array(self, value, dtype="float64"):
        # A copy: torch shares NumPy's memory, and a test must not write into the table of cases.
        return torch.tensor(np.asarray(value), dtype=getattr(torch, dtype))

    def numpy(self, value):
        value = value.detach()
        # NumPy has no such type; float32 holds its values.
        return (value.float() if value.dtype is torch.bfloat16 else value).numpy()

    def draw(self, dist, seed, shape=()):
        torch.manual_seed(seed)
        return dist.rsample(shape) if dist.has_rsample else dist.sample(shape)

    def inside(self, dist, value):
        return self.numpy(dist.support.check(value))

    def draw_and_score(self, dist, seed, shape=(), density=True):
        value = self.draw(dist, seed, shape)
        log_prob = self.numpy(dist.log_prob(value)) if density else None
        return self.numpy(value), self.inside(dist, value), log_prob

    def results(self, fn, dist):
        return fn(dist)

    def noise(self, dist, seed, shape=()):
        torch.manual_seed(seed)
        return dist.draw_noise(shape).numpy()

    def value_and_grad(self, fn, inputs, dtype="float64"):
        fixed = {n: v for n, v in inputs.items() if is_static(v)}
        free = {
            n: self.array(v, dtype).requires_grad_() for n, v in inputs.items() if n not in fixed
        }
        value = fn({**free, **fixed})
        grads = torch.autograd.grad(value, list(free.values()), allow_unused=True)
        numpy = {
            n: np.zeros(v.shape) if g is None else self.numpy(g)
            for (n, v), g in zip(free.items(), grads, strict=True)
        }
        return float(value.detach()), numpy

    def vmap(self, fn, *args):
        return torch.func.vmap(fn)(*args)

    def compiled(self, fn):
        return fn

    def with_gradient(self, fn):
        def both(inputs):
            inputs = {n: v.clone().requires_grad_() for n, v in inputs.items()}
            found = fn(inputs)
            options = {"allow_unused": True, "materialize_grads": True}
            grads = torch.autograd.grad(found[0], list(inputs.values()), **options)
            return found, dict(zip(inputs, grads, strict=True))

        return both


HOSTS = {"numpyro": NumPyro(), "pyro": Pyro()}
