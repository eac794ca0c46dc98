"""Pyro for tests."""

from __future__ import annotations

import numpy as np
import pyro
import torch

import relaxppl.pyro
from tests.adapter.base import Host, is_static


class Pyro(Host):
    name, rx, lib = "pyro", relaxppl.pyro, pyro
    dist, handlers = pyro.distributions, pyro.poutine
    sample, plate = staticmethod(pyro.sample), staticmethod(pyro.plate)

    def array(self, value, dtype="float64"):
        # A copy: torch shares NumPy's memory, and a test must not write into the table of cases.
        return torch.tensor(np.asarray(value), dtype=getattr(torch, dtype))

    def numpy(self, value):
        value = value.detach()
        # NumPy has no such type; float32 holds its values.
        return (value.float() if value.dtype is torch.bfloat16 else value).numpy()

    def trace(self, fn, *args, seed=0):
        torch.manual_seed(seed)
        trace = pyro.poutine.trace(fn).get_trace(*args)
        trace.compute_log_prob()
        kinds = ("sample", "param")
        return {name: site for name, site in trace.nodes.items() if site["type"] in kinds}

    def site_log_prob(self, site):
        return site["log_prob"]

    def draw(self, dist, seed, shape=()):
        torch.manual_seed(seed)
        return dist.rsample(shape) if dist.has_rsample else dist.sample(shape)

    def inside(self, dist, value):
        return self.numpy(dist.support.check(value))

    def scored(self, dist, seed, shape=(), density=True):
        value = self.draw(dist, seed, shape)
        return value, dist.support.check(value), dist.log_prob(value) if density else None

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
