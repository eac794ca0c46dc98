"""Both hosts' primitives and handlers behind one interface, so that a bar is written once."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pyro
import pytest
import torch

import relaxppl.numpyro
import relaxppl.pyro


class NumPyro:
    name = "numpyro"
    rx = relaxppl.numpyro
    lib = numpyro
    dist = numpyro.distributions
    handlers = numpyro.handlers
    sample = staticmethod(numpyro.sample)
    plate = staticmethod(numpyro.plate)

    def array(self, value: Any) -> Any:
        return jnp.asarray(value, "float64")

    def numpy(self, value: Any) -> np.ndarray:
        return np.asarray(value)

    def trace(self, fn: Any, *args: Any, seed: int = 0) -> dict[str, Any]:
        seeded = numpyro.handlers.seed(fn, jax.random.key(seed))
        return numpyro.handlers.trace(seeded).get_trace(*args)

    def log_prob(self, site: dict[str, Any]) -> np.ndarray:
        log_prob = site["fn"].log_prob(site["value"])
        scale = site["scale"]
        return np.asarray(log_prob if scale is None else scale * log_prob)

    def condition(self, fn: Any, data: dict[str, Any]) -> Any:
        return numpyro.handlers.condition(fn, data=data)

    def do(self, fn: Any, data: dict[str, Any]) -> Any:
        return numpyro.handlers.do(fn, data=data)

    def substitute(self, fn: Any, data: dict[str, Any]) -> Any:
        return numpyro.handlers.substitute(fn, data=data)

    def mask(self, flags: Any) -> Any:
        return numpyro.handlers.mask(mask=jnp.asarray(flags))

    def draw(self, dist: Any, seed: int = 0) -> Any:
        return dist.sample(jax.random.key(seed))


class Pyro:
    name = "pyro"
    rx = relaxppl.pyro
    lib = pyro
    dist = pyro.distributions
    handlers = pyro.poutine
    sample = staticmethod(pyro.sample)
    plate = staticmethod(pyro.plate)

    def array(self, value: Any) -> Any:
        return torch.tensor(np.asarray(value), dtype=torch.float64)

    def numpy(self, value: Any) -> np.ndarray:
        return value.detach().numpy()

    def trace(self, fn: Any, *args: Any, seed: int = 0) -> dict[str, Any]:
        torch.manual_seed(seed)
        trace = pyro.poutine.trace(fn).get_trace(*args)
        trace.compute_log_prob()
        return {
            name: site for name, site in trace.nodes.items() if site["type"] in ("sample", "param")
        }

    def log_prob(self, site: dict[str, Any]) -> np.ndarray:
        return site["log_prob"].detach().numpy()

    def condition(self, fn: Any, data: dict[str, Any]) -> Any:
        return pyro.poutine.condition(fn, data=data)

    def do(self, fn: Any, data: dict[str, Any]) -> Any:
        return pyro.poutine.do(fn, data=data)

    def substitute(self, fn: Any, data: dict[str, Any]) -> Any:
        return pyro.poutine.substitute(fn, data=data)

    def mask(self, flags: Any) -> Any:
        return pyro.poutine.mask(mask=torch.tensor(flags))

    def draw(self, dist: Any, seed: int = 0) -> Any:
        torch.manual_seed(seed)
        return dist.sample()


HOSTS = [NumPyro(), Pyro()]
both = pytest.mark.parametrize("host", HOSTS, ids=lambda h: h.name)


def law(site: dict[str, Any]) -> str:
    """The class at a site, inside the hosts' wrappers."""
    fn = site["fn"]
    while hasattr(fn, "base_dist") and type(fn).__name__ in (
        "Independent",
        "ExpandedDistribution",
        "_Expanded",
        "MaskedDistribution",
    ):
        fn = fn.base_dist
    return type(fn).__name__
