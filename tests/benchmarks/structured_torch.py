"""Plain torch for subsets, matchings, paths and the averaged straight-through gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

import relaxppl.pyro as rx
from tests.benchmarks import distributions_torch as base

DRAWN, T, AVERAGED, ROUNDS = base.DRAWN, base.TEMPERATURE, 10, 20
MATRICES = torch.randn(base.ELEMENTS // base.CLASSES**2, base.CLASSES, base.CLASSES)
SCALAR, VECTOR = base.SCALAR, base.VECTOR
START, MOVES = (
    VECTOR[: len(MATRICES)],
    MATRICES[:, 1:].unsqueeze(-1) - MATRICES[:, 1:].unsqueeze(-2),
)
MATRICES.requires_grad_()


def gumbel(shape: Any) -> torch.Tensor:
    return -torch.log(-torch.log(base.uniform(shape)))


def reinmax() -> torch.Tensor:
    with torch.no_grad():
        drawn = base.largest(VECTOR + gumbel(VECTOR.shape))
        middle = (torch.softmax(VECTOR / T, -1) + drawn) / 2
    first = torch.softmax(middle.log() - VECTOR.detach() + VECTOR, -1)
    return base.through(drawn, 2 * first - torch.softmax(VECTOR, -1) / 2)


def reinmax_bernoulli() -> torch.Tensor:
    with torch.no_grad():
        p = torch.sigmoid(SCALAR)
        bit = (torch.rand(p.shape) < p).to(p.dtype)
        q = (torch.sigmoid(SCALAR / T) + bit) / 2
        slope = 2 * q * (1 - q) - p * (1 - p) / 2
    return base.through(bit, slope * SCALAR)


def gumbel_rao() -> torch.Tensor:
    log_p = torch.log_softmax(VECTOR, -1)
    with torch.no_grad():
        drawn = base.largest(log_p + gumbel(VECTOR.shape))
        time = torch.empty(AVERAGED, *VECTOR.shape).exponential_()
        first = (time * drawn).sum(-1, keepdim=True)
        others = -torch.log(time * torch.exp(-log_p) + first)
        held = torch.where(drawn > 0.5, -torch.log(first), others) - log_p
    return base.through(drawn, torch.softmax((log_p + held) / T, -1).mean(0))


def gumbel_rao_bernoulli() -> torch.Tensor:
    with torch.no_grad():
        bit = (SCALAR + base.logistic() > 0).to(SCALAR.dtype)
        sign, noise = 2 * bit - 1, torch.logit(base.uniform((AVERAGED, *SCALAR.shape)))
        held = sign * functional.softplus(noise + functional.softplus(sign * SCALAR)) - SCALAR
    return base.through(bit, torch.sigmoid((SCALAR + held) / T).mean(0))


def subset() -> torch.Tensor:
    table = torch.full((len(VECTOR), DRAWN + 1), -1e30)
    table[:, 0] = 0.0
    sums = [table]
    for logit in VECTOR.unbind(-1):
        more = functional.pad(sums[-1][:, :-1], (1, 0), value=-1e30) + logit[:, None]
        sums.append(torch.logaddexp(sums[-1], more))
    total = sums[-1][:, -1].sum()
    marginals = torch.autograd.grad(total, VECTOR, create_graph=True)[0]
    with torch.no_grad():
        left, bits = torch.full((len(VECTOR),), DRAWN), []
        log_u = torch.log(base.uniform(VECTOR.shape))
        for i in reversed(range(base.CLASSES)):
            here = sums[i + 1].gather(-1, left[:, None])[:, 0]
            fewer = sums[i].gather(-1, (left - 1).clamp(min=0)[:, None])[:, 0]
            bit = (log_u[:, i] < VECTOR[:, i] + fewer - here) & (left > 0)
            left = left - bit.long()
            bits.append(bit)
        drawn = torch.stack(bits[::-1], -1).to(VECTOR.dtype)
    return base.through(drawn, marginals)


def sinkhorn() -> torch.Tensor:
    scores = (MATRICES + gumbel(MATRICES.shape)) / T
    for _ in range(ROUNDS):
        scores = torch.log_softmax(scores, -2)
        scores = torch.log_softmax(scores, -1)
    return scores.exp()


def relaxed_path() -> torch.Tensor:
    moves = torch.log_softmax(MOVES, -1)
    noise = gumbel((len(START), base.CLASSES, base.CLASSES))
    now = (torch.log_softmax(START, -1) + noise[:, 0]) / T
    path = [now]
    for t in range(base.CLASSES - 1):
        state = torch.log_softmax(now, -1)
        now = (torch.logsumexp(state[:, :, None] + moves[:, t], -2) + noise[:, t + 1]) / T
        path.append(now)
    return base.softmax(torch.stack(path, -2))


PLAIN: dict[str, Callable[[], torch.Tensor]] = {
    "ReinMaxOneHotCategorical": reinmax,
    "ReinMaxBernoulli": reinmax_bernoulli,
    "GumbelRaoOneHotCategorical": gumbel_rao,
    "GumbelRaoBernoulli": gumbel_rao_bernoulli,
    "SubsetStraightThrough": subset,
    "GumbelSinkhorn": sinkhorn,
    "RelaxedMarkovChain": relaxed_path,
}


def constructors(validate: bool | None) -> dict[str, Callable[[], Any]]:
    """The classes of this library, by the same names."""
    v = {"validate_args": validate}
    vector, scalar = {"logits": VECTOR, **v}, {"logits": SCALAR, **v}
    return {
        "ReinMaxOneHotCategorical": lambda: rx.ReinMaxOneHotCategorical(T, **vector),
        "ReinMaxBernoulli": lambda: rx.ReinMaxBernoulli(T, **scalar),
        "GumbelRaoOneHotCategorical": lambda: rx.GumbelRaoOneHotCategorical(T, **vector),
        "GumbelRaoBernoulli": lambda: rx.GumbelRaoBernoulli(T, **scalar),
        "SubsetStraightThrough": lambda: rx.SubsetStraightThrough(DRAWN, **vector),
        "GumbelSinkhorn": lambda: rx.GumbelSinkhorn(T, MATRICES, ROUNDS, **v),
        "RelaxedMarkovChain": lambda: rx.RelaxedMarkovChain(T, START, MOVES, **v),
    }
