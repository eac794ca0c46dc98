"""What tests ask of a host: the interface, and what needs no host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def is_static(value: Any) -> bool:
    return isinstance(value, bool | str) or type(value) is int


def called(dist: Any, name: str, *args: Any) -> Any:
    value = getattr(dist, name)
    return value(*args) if callable(value) else value


class Host:
    """What tests need of a host."""

    name: str
    rx: Any
    """What the library exports for it."""
    lib: Any
    """The host itself: numpyro or pyro."""
    dist: Any
    handlers: Any
    sample: Callable
    plate: Callable

    def array(self, value: Any, dtype: str = "float64") -> Any:
        raise NotImplementedError

    def numpy(self, value: Any) -> np.ndarray:
        raise NotImplementedError

    # Programs.

    def trace(self, fn: Callable, *args: Any, seed: int = 0) -> dict[str, Any]:
        """The sites of one run, by name."""
        raise NotImplementedError

    def site_log_prob(self, site: dict[str, Any]) -> Any:
        """The log density of a site of a trace, scaled and masked, of the host."""
        raise NotImplementedError

    def condition(self, fn: Callable, data: dict[str, Any]) -> Callable:
        return self.handlers.condition(fn, data=data)

    def do(self, fn: Callable, data: dict[str, Any]) -> Callable:
        return self.handlers.do(fn, data=data)

    def substitute(self, fn: Callable, data: dict[str, Any]) -> Callable:
        return self.handlers.substitute(fn, data=data)

    def mask(self, flags: Any) -> Any:
        return self.handlers.mask(mask=self.array(flags, "bool"))

    # Distributions.

    def arrays(self, params: dict[str, Any], dtype: str = "float64") -> dict[str, Any]:
        return {n: v if is_static(v) else self.array(v, dtype) for n, v in params.items()}

    def make(self, name: str, params: dict[str, Any], dtype: str = "float64", validate=True) -> Any:
        """The distribution with these NumPy parameters."""
        return self.build(name, self.arrays(params, dtype), validate)

    def build(self, name: str, arrays: dict[str, Any], validate: bool = False) -> Any:
        """The distribution with these parameters, already of the host."""
        return getattr(self.rx, name)(**arrays, validate_args=validate)

    def draw(self, dist: Any, seed: int, shape: tuple[int, ...] = ()) -> Any:
        """A sample, of the host."""
        raise NotImplementedError

    def samples(self, dist: Any, seed: int, shape: tuple[int, ...] = ()) -> np.ndarray:
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

    def scored(
        self, dist: Any, seed: int, shape: tuple[int, ...] = (), density: bool = True
    ) -> tuple[Any, Any, Any]:
        """A sample, whether it is in the support, and its log_prob, of the host."""
        raise NotImplementedError

    def draw_and_score(
        self, dist: Any, seed: int, shape: tuple[int, ...] = (), density: bool = True
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """The same in NumPy."""
        sample, inside, log_prob = self.scored(dist, seed, shape, density)
        scores = None if log_prob is None else self.numpy(log_prob)
        return self.numpy(sample), self.numpy(inside), scores

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

    def grad(self, fn: Callable, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
        """The gradient of a scalar function of a dict of arrays of the host."""

        def with_nothing(given: dict[str, Any]) -> tuple[Any, tuple[()]]:
            return fn(given), ()

        found = self.compiled(self.with_gradient(with_nothing))(inputs)[1]
        return {name: self.numpy(g) for name, g in found.items()}

    def with_gradient(self, fn: Callable) -> Callable:
        """From (scalar, rest) of a dict of arrays to that and the gradient, of the host."""
        raise NotImplementedError
