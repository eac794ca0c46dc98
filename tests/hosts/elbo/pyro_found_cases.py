"""Programs that a search for wrong gradients found, their bounds as in pyro_cases.py."""

from __future__ import annotations

import itertools
from typing import Any

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
import torch

from tests.hosts.elbo.pyro_case import Case, bernoulli, bits, expectation, normal, tensor

DATA = tensor(0.8, -0.3)


def like(q: torch.Tensor, value: float) -> torch.Tensor:
    return torch.full_like(q, value).detach()


def returning(param: Any, infer: Any) -> Any:
    """What all rows decide comes back to each of them, by way of a site outside of their plate."""

    def model() -> None:
        g = pyro.sample("g", dist.Bernoulli(like(param("w"), 0.5)))
        with pyro.plate("rows", 2, dim=-1):
            z = pyro.sample("z", dist.Bernoulli(logits=3.0 * g - 1.5))
            pyro.sample("x", dist.Normal(z + g, 1.0), obs=DATA.expand(z.shape))

    def guide() -> None:
        with pyro.plate("rows", 2, dim=-1):
            z = pyro.sample("z", dist.Bernoulli(logits=param("q")))
        pyro.sample("g", dist.Bernoulli(logits=param("w") * (2.0 * z.sum(-1, True) - 2.0)))

    return model, guide


def returning_exact(q: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    rows = []
    for z, g in itertools.product(bits(2), bits(1)):
        log_q = bernoulli(q, z) + bernoulli(w * (2.0 * z.sum() - 2.0), g)
        log_p = bernoulli(tensor(0.0), g) + bernoulli(3.0 * g - 1.5 + 0.0 * z, z)
        rows.append((log_q, log_p + normal(DATA, z + g, 1.0).sum()))
    return expectation(rows)


def prior_drawn(param: Any, infer: Any) -> Any:
    """A site of the model alone whose law depends on the guide's."""

    def model() -> None:
        a = pyro.sample("a", dist.Bernoulli(like(param("q"), 0.4)))
        u = pyro.sample("u", dist.Bernoulli(logits=3.0 * a - 1.5))
        pyro.sample("x", dist.Normal(a + 2.0 * u, 1.0), obs=like(param("q"), 0.8))

    def guide() -> None:
        pyro.sample("a", dist.Bernoulli(logits=param("q")))

    return model, guide


def prior_drawn_exact(q: torch.Tensor) -> torch.Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for a, u in itertools.product(bits(1), bits(1)):
        log_q, log_u = bernoulli(q, a), bernoulli(3.0 * a - 1.5, u)
        log_p = bernoulli(tensor(0.4).logit(), a) + normal(0.8, a + 2.0 * u, 1.0).sum()
        total = total - (log_q + log_u).exp() * (log_p + log_u - log_q)
    return total


def scaled(param: Any, infer: Any) -> Any:
    """The weight of a discrete site's density is learned."""

    def model() -> None:
        b = pyro.sample("b", dist.Bernoulli(like(param("q"), 0.3)))
        pyro.sample("x", dist.Normal(b, 1.0), obs=like(param("q"), 0.8))

    def guide() -> None:
        with poutine.scale(scale=1.0 + param("s").sigmoid()):
            pyro.sample("b", dist.Bernoulli(logits=param("q")))

    return model, guide


def scaled_exact(q: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for b in bits(1):
        log_q, log_p = bernoulli(q, b), bernoulli(tensor(0.3).logit(), b)
        log_p = log_p + normal(0.8, b, 1.0).sum()
        total = total - log_q.exp() * (log_p - (1.0 + s.sigmoid().sum()) * log_q)
    return total


def jumping_law(param: Any, infer: Any) -> Any:
    """The guide's law of a site jumps with the site above, and the model's knows nothing of it."""

    def model() -> None:
        pyro.sample("a", dist.Bernoulli(like(param("qa"), 0.5)))
        pyro.sample("b", dist.Bernoulli(like(param("qa"), 0.7)))

    def guide() -> None:
        a = pyro.sample("a", dist.Bernoulli(logits=param("qa")))
        jump = torch.where(a > 0.5, 2.0, -1.5)
        pyro.sample("b", dist.Bernoulli(logits=param("qb") + jump))

    return model, guide


def jumping_law_exact(qa: torch.Tensor, qb: torch.Tensor) -> torch.Tensor:
    rows = []
    for a, b in itertools.product(bits(1), bits(1)):
        log_q = bernoulli(qa, a) + bernoulli(qb + 3.5 * a - 1.5, b)
        rows.append((log_q, bernoulli(tensor(0.0), a) + bernoulli(tensor(0.7).logit(), b)))
    return expectation(rows)


def noisy(param: Any, infer: Any) -> Any:
    """The guide draws a sign by itself, and both of its sites see it."""

    def model() -> None:
        a = pyro.sample("a", dist.Bernoulli(like(param("qa"), 0.5)))
        b = pyro.sample("b", dist.Bernoulli(like(param("qa"), 0.7)))
        pyro.sample("x", dist.Normal(a + b, 1.0), obs=like(param("qa"), 0.8))

    def guide() -> None:
        e = 2.0 * (torch.rand_like(param("qa")) < 0.5).to(param("qa")) - 1.0
        a = pyro.sample("a", dist.Bernoulli(logits=2.0 * param("qa") * (1.0 + e) + e))
        pyro.sample("b", dist.Bernoulli(logits=param("qb") * e * (2.0 * a - 1.0)))

    return model, guide


def noisy_exact(qa: torch.Tensor, qb: torch.Tensor) -> torch.Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for e in (-1.0, 1.0):
        rows = []
        for a, b in itertools.product(bits(1), bits(1)):
            log_q = bernoulli(2.0 * qa * (1.0 + e) + e, a)
            log_q = log_q + bernoulli(qb * e * (2.0 * a - 1.0), b)
            log_p = bernoulli(tensor(0.0), a) + bernoulli(tensor(0.7).logit(), b)
            rows.append((log_q, log_p + normal(0.8, a + b, 1.0).sum()))
        total = total + 0.5 * expectation(rows)
    return total


START = {"qa": tensor(0.4), "qb": tensor(-0.3)}
RETURNING = Case(
    "returning", {"q": tensor(0.3, -0.4), "w": tensor(0.9)}, returning, returning_exact, depth=2
)
PRIOR_DRAWN = Case("prior drawn", {"q": tensor(0.3)}, prior_drawn, prior_drawn_exact)
SCALED = Case("scaled", {"q": tensor(0.3), "s": tensor(0.2)}, scaled, scaled_exact)
JUMPING_LAW = Case("jumping law", START, jumping_law, jumping_law_exact, depth=2)
NOISY = Case("noisy", START, noisy, noisy_exact, depth=2)
