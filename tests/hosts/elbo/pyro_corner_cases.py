"""Programs that each ask one thing of an estimator, their exact bounds as in pyro_cases.py."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from torch.nn.functional import softplus

from tests.hosts.elbo.pyro_case import Case, bernoulli, bits, expectation, normal, tensor

# Counts: a binomial and a Poisson whose rate depends on it.


def count_program(param: Any, infer: Any) -> Any:
    def model() -> None:
        n = pyro.sample("n", dist.Binomial(3, logits=param("prior")))
        k = pyro.sample("k", dist.Poisson(torch.full_like(n, 1.5)))
        loc = 0.6 * n - 0.4 * k
        pyro.sample("x", dist.Normal(loc, 1.0), obs=torch.full(loc.shape, 0.8).to(loc))

    def guide() -> None:
        n = pyro.sample("n", dist.Binomial(3, logits=param("q")), infer=infer.get("n", {}))
        rate = (param("rate") + 0.2 * n).exp()
        pyro.sample("k", dist.Poisson(rate), infer=infer.get("k", {}))

    return model, guide


def count_exact(q: torch.Tensor, rate: torch.Tensor, prior: torch.Tensor) -> torch.Tensor:
    def binomial(logits: torch.Tensor, n: int) -> torch.Tensor:
        return np.log((1, 3, 3, 1)[n]) + n * logits - 3 * softplus(logits)

    def poisson(log_rate: torch.Tensor, k: int) -> torch.Tensor:
        return k * log_rate - log_rate.exp() - torch.lgamma(tensor(k + 1.0))

    rows = []
    for n, k in itertools.product(range(4), range(40)):
        log_q = binomial(q, n) + poisson(rate + 0.2 * n, k)
        log_p = binomial(prior, n) + poisson(tensor(1.5).log(), k)
        rows.append((log_q.sum(), (log_p + normal(0.8, tensor(0.6 * n - 0.4 * k), 1.0)).sum()))
    return expectation(rows)


COUNTS = Case(
    "counts",
    {"q": tensor(0.3), "rate": tensor(0.2), "prior": tensor(-0.4)},
    count_program,
    count_exact,
)

# A law masked in itself, on both sides: its value is drawn and used all the same.

HALF = torch.tensor([True, False])


def masked_program(param: Any, infer: Any) -> Any:
    def model() -> None:
        with pyro.plate("inner", 2, dim=-1):
            b = pyro.sample("b", dist.Bernoulli(logits=param("prior")).mask(HALF))
        loc = param("slope") * (b.sum(-1, keepdim=True) + 0.5 * b.prod(-1, keepdim=True))
        pyro.sample("x", dist.Normal(loc, 0.7), obs=torch.full(loc.shape, 1.4).to(loc))

    def guide() -> None:
        with pyro.plate("inner", 2, dim=-1):
            law = dist.Bernoulli(logits=param("q")).expand((*param("q").shape[:-1], 2))
            pyro.sample("b", law.mask(HALF), infer=infer.get("b", {}))

    return model, guide


def masked_exact(q: torch.Tensor, prior: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for b in bits(2):
        loc = slope * (b.sum() + 0.5 * b.prod())
        log_p = bernoulli(prior, b[0]) + normal(1.4, loc, 0.7)
        weight = bernoulli(q, b[0]).exp() * bernoulli(q, b[1]).exp()
        total = total - (weight * (log_p - bernoulli(q, b[0]))).sum()
    return total


MASKED = Case(
    "masked",
    {"q": tensor(0.4), "prior": tensor(-0.3), "slope": tensor(0.9)},
    masked_program,
    masked_exact,
)
