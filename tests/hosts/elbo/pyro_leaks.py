"""Programs in which a drawn value leaves torch's operations, or its derivative must pass by them.

Every leak gives loc = 1.5 where z is one and -0.5 where it is zero, so that one bound written by
hand serves them all. The values are (n, 1), rows of independent repetitions.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
import torch

from tests.hosts.elbo.pyro_case import Case, bernoulli, expectation, normal, tensor

TABLE = tensor(-0.5, 1.5)


def branch(z: torch.Tensor) -> torch.Tensor:
    return tensor(*([1.5 if b > 0.5 else -0.5] for b in z))


def number(z: torch.Tensor) -> torch.Tensor:
    return tensor(*([2.0 * b.item() - 0.5] for b in z))


def looked_up(z: torch.Tensor) -> torch.Tensor:
    table = {0: -0.5, 1: 1.5}
    return tensor(*([table[int(b)]] for b in z))


def through_numpy(z: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(2.0 * z.numpy() - 0.5)


def written(z: torch.Tensor) -> torch.Tensor:
    v = torch.empty(len(z), 2, dtype=z.dtype)
    v[:, 0] = z[:, 0]
    return 2.0 * v[:, :1] - 0.5


def mask_assigned(z: torch.Tensor) -> torch.Tensor:
    v = torch.full_like(z.detach(), -0.5)
    v[z > 0.5] = 1.5
    return v


def out_argument(z: torch.Tensor) -> torch.Tensor:
    v = torch.empty_like(z)
    torch.mul(z, 2.0, out=v)
    return v - 0.5


@torch.jit.script
def scripted(z: torch.Tensor) -> torch.Tensor:
    return 2.0 * z - 0.5


def mapped(z: torch.Tensor) -> torch.Tensor:
    return torch.func.vmap(lambda b: 2.0 * b - 0.5)(z)


def made_of_scalars(z: torch.Tensor) -> torch.Tensor:
    return 2.0 * torch.tensor([[b] for b in z.reshape(-1)], dtype=z.dtype) - 0.5


def new_tensor(z: torch.Tensor) -> torch.Tensor:
    return 2.0 * z.new_tensor([[b] for b in z.reshape(-1)]) - 0.5


def sliced(z: torch.Tensor) -> torch.Tensor:
    parts = tensor(-0.5, 2.0)
    return torch.stack([parts[: 1 + int(b)].sum() for b in z])[:, None]


def compared(z: torch.Tensor) -> torch.Tensor:
    return torch.where(z > 0.5, TABLE[1], TABLE[0])


def indexed(z: torch.Tensor) -> torch.Tensor:
    return TABLE[z.long()]


def detached(z: torch.Tensor) -> torch.Tensor:
    return 2.0 * z.detach() - 0.5


def without_gradient(z: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return 2.0 * z - 0.5


LEAKS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "if": branch,
    "item": number,
    "dict": looked_up,
    "numpy": through_numpy,
    "write": written,
    "mask": mask_assigned,
    "out": out_argument,
    "script": scripted,
    "vmap": mapped,
    "tensor": made_of_scalars,
    "new_tensor": new_tensor,
    "slice": sliced,
    "where": compared,
    "index": indexed,
    "detach": detached,
    "no_grad": without_gradient,
}

ESCAPES = {"if", "item", "dict", "numpy", "slice"}
"""Leaks of which nothing but the fact can be known: there is a warning."""


def one_site(leak: Callable[[torch.Tensor], torch.Tensor]) -> Case:
    """Returns a program whose observation sees a Bernoulli through a leak."""

    def program(param: Any, infer: Any) -> Any:
        def model() -> None:
            z = pyro.sample("z", dist.Bernoulli(torch.full_like(param("q"), 0.3).detach()))
            loc = leak(z)
            pyro.sample("x", dist.Normal(loc, 0.8), obs=torch.full_like(loc, 1.1).detach())

        def guide() -> None:
            pyro.sample("z", dist.Bernoulli(logits=param("q")), infer=infer.get("z", {}))

        return model, guide

    def exact(q: torch.Tensor) -> torch.Tensor:
        pairs = []
        for b, loc in ((0.0, -0.5), (1.0, 1.5)):
            log_p = tensor(0.7).log() if b == 0 else tensor(0.3).log()
            pairs.append((bernoulli(q, tensor(b)), (log_p + normal(1.1, tensor(loc), 0.8)).sum()))
        return expectation(pairs)

    return Case("leak", {"q": tensor(0.4)}, program, exact)


def two_levels(leak: Callable[[torch.Tensor], torch.Tensor]) -> Case:
    """Returns a program whose guide draws b given a through a leak; the model sees both."""

    def program(param: Any, infer: Any) -> Any:
        def model() -> None:
            a = pyro.sample("a", dist.Bernoulli(torch.full_like(param("qa"), 0.4).detach()))
            b = pyro.sample("b", dist.Bernoulli(logits=leak(a)))
            loc = a * b + 0.5 * b
            pyro.sample("x", dist.Normal(loc, 0.7), obs=torch.full_like(loc, 1.2).detach())

        def guide() -> None:
            a = pyro.sample("a", dist.Bernoulli(logits=param("qa")), infer=infer.get("a", {}))
            logits = param("w") * leak(a)
            pyro.sample("b", dist.Bernoulli(logits=logits), infer=infer.get("b", {}))

        return model, guide

    def exact(qa: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        pairs = []
        for a, b in itertools.product((0.0, 1.0), repeat=2):
            loc = TABLE[int(a)]
            log_q = bernoulli(qa, tensor(a)) + bernoulli(w * loc, tensor(b))
            log_p = bernoulli(tensor(np.log(0.4 / 0.6)), tensor(a)) + bernoulli(loc, tensor(b))
            pairs.append((log_q, (log_p + normal(1.2, tensor(a * b + 0.5 * b), 0.7)).sum()))
        return expectation(pairs)

    return Case("two leaks", {"qa": tensor(-0.3), "w": tensor(0.8)}, program, exact, depth=2)


def handed_over(param: Any, infer: Any) -> Any:
    """The guide leaves the model a tensor that is no sample of it."""
    left: dict[str, torch.Tensor] = {}

    def model() -> None:
        pyro.sample("z", dist.Bernoulli(torch.full_like(param("q"), 0.3).detach()))
        loc = left["loc"]
        pyro.sample("x", dist.Normal(loc, 0.8), obs=torch.full_like(loc, 1.1).detach())

    def guide() -> None:
        z = pyro.sample("z", dist.Bernoulli(logits=param("q")), infer=infer.get("z", {}))
        left["loc"] = 2.0 * z - 0.5

    return model, guide


HANDED_OVER = replace(one_site(branch), name="handed over", program=handed_over)


def weighed_program(param: Any, infer: Any) -> Any:
    def model() -> None:
        a = pyro.sample("a", dist.Bernoulli(torch.full_like(param("qa"), 0.3).detach()))
        with poutine.scale(scale=1.0 + a):
            b = pyro.sample("b", dist.Bernoulli(torch.full_like(param("qb"), 0.6).detach()))
        pyro.sample("x", dist.Normal(b, 0.8), obs=torch.full_like(b, 1.1).detach())

    def guide() -> None:
        a = pyro.sample("a", dist.Bernoulli(logits=param("qa")), infer=infer.get("a", {}))
        with poutine.scale(scale=1.0 + a):
            pyro.sample("b", dist.Bernoulli(logits=param("qb")), infer=infer.get("b", {}))

    return model, guide


def weighed_exact(qa: torch.Tensor, qb: torch.Tensor) -> torch.Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for a, b in itertools.product((0.0, 1.0), repeat=2):
        log_a, log_b = bernoulli(qa, tensor(a)), bernoulli(qb, tensor(b))
        kl = log_a - tensor(0.3 if a else 0.7).log()
        kl = kl + (1.0 + a) * (log_b - tensor(0.6 if b else 0.4).log())
        loss = kl - normal(1.1, tensor(b), 0.8)
        total = total + ((log_a + log_b).exp() * loss).sum()
    return total


WEIGHED = Case("weighed", {"qa": tensor(0.4), "qb": tensor(-0.3)}, weighed_program, weighed_exact)
"""The weight of a site's densities is drawn; its law does not depend on that."""


class Doubled(torch.autograd.Function):
    """Twice its argument, with a derivative of its own."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return 2.0 * x

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return 2.0 * gradient


def checkpointed(x: torch.Tensor) -> torch.Tensor:
    from torch.utils.checkpoint import checkpoint

    return checkpoint(lambda y: 2.0 * y, x, use_reentrant=True)


FUNCTIONS = {"Function": Doubled.apply, "checkpoint": checkpointed}


def through_function(twice: Callable[[torch.Tensor], torch.Tensor]) -> Case:
    """Returns a program in which a parameter's gradient passes by a function of autograd."""

    def program(param: Any, infer: Any) -> Any:
        def model() -> None:
            z = pyro.sample("z", dist.Bernoulli(torch.full_like(param("q"), 0.3).detach()))
            loc = twice(z * param("slope")) - 0.5
            pyro.sample("x", dist.Normal(loc, 0.8), obs=torch.full_like(loc, 1.1).detach())

        def guide() -> None:
            pyro.sample("z", dist.Bernoulli(logits=param("q")), infer=infer.get("z", {}))

        return model, guide

    def exact(q: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
        pairs = []
        for b in (0.0, 1.0):
            log_p = (tensor(0.7) if b == 0 else tensor(0.3)).log()
            log_p = log_p + normal(1.1, 2.0 * b * slope - 0.5, 0.8)
            pairs.append((bernoulli(q, tensor(b)), log_p.sum()))
        return expectation(pairs)

    return Case("function", {"q": tensor(0.4), "slope": tensor(0.9)}, program, exact)


def beta_program(param: Any, infer: Any) -> Any:
    def model() -> None:
        z = pyro.sample("z", dist.Bernoulli(torch.full_like(param("q"), 0.3).detach()))
        w = pyro.sample("w", dist.Beta(torch.ones_like(z), torch.ones_like(z)))
        pyro.sample("x", dist.Bernoulli(w), obs=torch.ones_like(w).detach())

    def guide() -> None:
        z = pyro.sample("z", dist.Bernoulli(logits=param("q")), infer=infer.get("z", {}))
        pyro.sample("w", dist.Beta(1.5 + z * param("c").exp(), 2.0 + 0.0 * z))

    return model, guide


def beta_exact(q: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for b in (0.0, 1.0):
        law = torch.distributions.Beta(1.5 + b * c.exp(), tensor(2.0))
        log_prior = (tensor(0.7) if b == 0 else tensor(0.3)).log()
        # E log w of a Beta, and its entropy: the prior of w is uniform.
        mean = torch.digamma(law.concentration1) - torch.digamma(law.concentration1 + 2.0)
        bound = log_prior + mean + law.entropy() - bernoulli(q, tensor(b))
        total = total - (bernoulli(q, tensor(b)).exp() * bound).sum()
    return total


BETA = Case("beta", {"q": tensor(0.4), "c": tensor(0.3)}, beta_program, beta_exact)


def dirichlet_program(param: Any, infer: Any) -> Any:
    def concentration(z: torch.Tensor) -> torch.Tensor:
        return torch.stack([1.5 + z * param("c").exp(), 2.0 + 0.0 * z, 1.0 + z], -1)

    def model() -> None:
        z = pyro.sample("z", dist.Bernoulli(torch.full_like(param("q"), 0.3).detach()))
        w = pyro.sample("w", dist.Dirichlet(torch.ones((*z.shape, 3), dtype=z.dtype)))
        pyro.sample("x", dist.Categorical(w), obs=torch.zeros_like(z).long().detach())

    def guide() -> None:
        z = pyro.sample("z", dist.Bernoulli(logits=param("q")), infer=infer.get("z", {}))
        pyro.sample("w", dist.Dirichlet(concentration(z)))

    return model, guide


def dirichlet_exact(q: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for b in (0.0, 1.0):
        alpha = torch.cat([1.5 + b * c.exp(), tensor(2.0), tensor(1.0 + b)])
        log_prior = (tensor(0.7) if b == 0 else tensor(0.3)).log()
        mean = torch.digamma(alpha[0]) - torch.digamma(alpha.sum())
        bound = log_prior + mean + np.log(2.0) + torch.distributions.Dirichlet(alpha).entropy()
        bound = bound - bernoulli(q, tensor(b))
        total = total - (bernoulli(q, tensor(b)).exp() * bound).sum()
    return total


DIRICHLET = Case(
    "dirichlet", {"q": tensor(0.4), "c": tensor(0.3)}, dirichlet_program, dirichlet_exact
)
