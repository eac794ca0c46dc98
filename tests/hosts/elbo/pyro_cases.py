"""Small Pyro programs whose bound is known exactly, to check unbiasedness against.

Every program runs in an outer plate of ``n`` independent repetitions (dimension -2) with its own
copy of each parameter, so that one call of ``loss_and_grads`` gives n independent gradients. The
exact bound is written out by hand: discrete values are enumerated, a normal is integrated by
Gauss-Hermite quadrature. Nothing here uses relaxppl.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
import torch
from torch.nn.functional import softplus

from tests.hosts.elbo.pyro_case import SEEN, Case, bernoulli, bits, expectation, normal, tensor
from tests.hosts.elbo.pyro_corner_cases import MASKED

# One vector of Bernoullis.

A = tensor([0.9, -0.7], [0.4, 1.1], [-1.2, 0.3])


def curve(b: torch.Tensor) -> torch.Tensor:
    return torch.tanh(b @ A).sum(-1) + 1.5 * b[..., 0] * b[..., -1]


def vector_program(param: Any, infer: Any) -> Any:
    def model() -> None:
        b = pyro.sample("b", dist.Bernoulli(logits=param("prior")).to_event(1))
        loc = curve(b) * param("slope")
        pyro.sample("x", dist.Normal(loc, 0.6), obs=torch.full(loc.shape, 1.3).to(loc))

    def guide() -> None:
        pyro.sample("b", dist.Bernoulli(logits=param("q")).to_event(1), infer=infer.get("b", {}))

    return model, guide


def vector_exact(q: torch.Tensor, prior: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    return expectation(
        [
            (bernoulli(q, b), bernoulli(prior, b) + normal(1.3, curve(b) * slope, 0.6).sum())
            for b in bits(3)
        ]
    )


VECTOR = Case(
    "vector",
    {"q": tensor([0.4, -0.8, 1.0]), "prior": tensor([-0.5, 0.2, 0.3]), "slope": tensor(0.8)},
    vector_program,
    vector_exact,
)


# Two levels: b's logits depend on a. The outer site has event rank one, the inner lies in a plate.


def levels_logits(a: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return (2.0 * a[..., 0] - a[..., 1] - 0.3)[..., None] * weight


def levels_loc(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a[..., 0] * b[..., 0] - 0.7 * a[..., 1] * b[..., 1] + torch.sin(b.sum(-1) + a[..., 1])


def two_program(param: Any, infer: Any) -> Any:
    def model() -> None:
        a = pyro.sample("a", dist.Bernoulli(logits=param("prior")).to_event(1))
        with pyro.plate("inner", 2, dim=-1):
            b = pyro.sample("b", dist.Bernoulli(logits=0.5 * a[..., 0] - 0.2))
        loc = levels_loc(a, b[..., None, :])
        pyro.sample("x", dist.Normal(loc, 0.5), obs=torch.full(loc.shape, 1.1).to(loc))

    def guide() -> None:
        a = pyro.sample(
            "a", dist.Bernoulli(logits=param("qa")).to_event(1), infer=infer.get("a", {})
        )
        logits = levels_logits(a, param("weight"))[..., 0, :]
        with pyro.plate("inner", 2, dim=-1):
            pyro.sample("b", dist.Bernoulli(logits=logits), infer=infer.get("b", {}))

    return model, guide


def two_exact(qa: torch.Tensor, weight: torch.Tensor, prior: torch.Tensor) -> torch.Tensor:
    rows = []
    for a, b in itertools.product(bits(2), bits(2)):
        log_q = bernoulli(qa, a) + bernoulli(levels_logits(a, weight), b)
        log_p = bernoulli(prior, a) + bernoulli(0.5 * a[0] - 0.2, b)
        rows.append((log_q, log_p + normal(1.1, levels_loc(a, b), 0.5)))
    return expectation(rows)


TWO_LEVELS = Case(
    "two levels",
    {"qa": tensor([0.3, -0.5]), "weight": tensor([1.1, -0.8]), "prior": tensor([0.1, 0.4])},
    two_program,
    two_exact,
    depth=2,
)


# Three levels a, b, c with a normal y between a and b, and one before a.


def three_program(param: Any, infer: Any) -> Any:
    def model() -> None:
        u = pyro.sample("u", dist.Normal(param("mean"), 1.0))
        a = pyro.sample("a", dist.Bernoulli(logits=0.5 * u))
        y = pyro.sample("y", dist.Normal(a - 0.4, 1.0))
        b = pyro.sample("b", dist.Bernoulli(logits=0.3 * y))
        c = pyro.sample("c", dist.Bernoulli(logits=0.8 * b - 0.5))
        loc = three_loc(a, b, c, y)
        pyro.sample("x", dist.Normal(loc, 0.6), obs=torch.full(loc.shape, 0.9).to(loc))

    def guide() -> None:
        u = pyro.sample("u", dist.Normal(param("qu"), 0.7))
        logits = param("qa") + 0.6 * u
        a = pyro.sample("a", dist.Bernoulli(logits=logits), infer=infer.get("a", {}))
        y = pyro.sample("y", dist.Normal(param("qy") * (1.5 * a - 0.5), 0.5))
        b = pyro.sample(
            "b", dist.Bernoulli(logits=param("qb") * y + 0.4 * a), infer=infer.get("b", {})
        )
        logits = param("qc") * (b - 0.4) + 0.3 * y
        pyro.sample("c", dist.Bernoulli(logits=logits), infer=infer.get("c", {}))

    return model, guide


def three_loc(a: Any, b: Any, c: Any, y: Any) -> Any:
    return a * c + 0.8 * b * (1 - c) - 0.9 * a * b + 0.3 * y * b


def three_exact(
    qu: torch.Tensor,
    qa: torch.Tensor,
    qy: torch.Tensor,
    qb: torch.Tensor,
    qc: torch.Tensor,
    mean: torch.Tensor,
) -> torch.Tensor:
    nodes, weights = np.polynomial.hermite_e.hermegauss(24)
    nodes, weights = torch.as_tensor(nodes), torch.as_tensor(weights / weights.sum())
    u = qu + 0.7 * nodes[:, None]
    weight = weights[:, None] * weights[None, :]
    total = torch.zeros((), dtype=torch.float64)

    def log_mass(logits: torch.Tensor, b: float) -> torch.Tensor:
        return b * logits - softplus(logits)

    for a, b, c in itertools.product((0.0, 1.0), repeat=3):
        y = qy * (1.5 * a - 0.5) + 0.5 * nodes[None, :]
        log_q = log_mass(qa + 0.6 * u, a) + log_mass(qb * y + 0.4 * a, b)
        log_q = log_q + log_mass(qc * (b - 0.4) + 0.3 * y, c)
        continuous = normal(u, qu, 0.7) + normal(y, qy * (1.5 * a - 0.5), 0.5)
        log_p = normal(u, mean, 1.0) + log_mass(0.5 * u, a) + normal(y, torch.tensor(a - 0.4), 1.0)
        log_p = log_p + log_mass(0.3 * y, b) + log_mass(torch.tensor(0.8 * b - 0.5), c)
        log_p = log_p + normal(0.9, three_loc(a, b, c, y), 0.6)
        total = total - (weight * log_q.exp() * (log_p - log_q - continuous)).sum()
    return total


THREE_LEVELS = Case(
    "three levels",
    {
        "qu": tensor(0.4),
        "qa": tensor(-0.3),
        "qy": tensor(0.9),
        "qb": tensor(0.8),
        "qc": tensor(1.2),
        "mean": tensor(-0.6),
    },
    three_program,
    three_exact,
    depth=3,
)


# A one-hot and an integer categorical that depends on it, under a subsampled plate.

SIZE, BATCH = 3, 2
DATA = tensor(1.2, -0.4, 0.6)
CENTRES = tensor(1.0, -0.8, 0.3)
SHIFTS = tensor(0.5, -0.5)


def plate_program(param: Any, infer: Any) -> Any:
    def model() -> None:
        with pyro.plate("data", SIZE, BATCH, dim=-1) as rows:
            z = pyro.sample("z", dist.OneHotCategorical(logits=param("prior")))
            k = pyro.sample("k", dist.Categorical(logits=z[..., :2] @ tensor([0.5, 0.0], [0, 0.9])))
            loc = (z @ CENTRES) * (1.0 + SHIFTS[k])
            pyro.sample("x", dist.Normal(loc, 0.7), obs=DATA[rows].expand(loc.shape))

    def guide() -> None:
        with pyro.plate("data", SIZE, BATCH, dim=-1) as rows:
            SEEN["rows"] = tuple(rows.tolist())
            z = pyro.sample(
                "z", dist.OneHotCategorical(logits=param("q")[:, rows]), infer=infer.get("z", {})
            )
            logits = z[..., :2] * param("qk")
            pyro.sample("k", dist.Categorical(logits=logits), infer=infer.get("k", {}))

    return model, guide


def plate_exact(
    q: torch.Tensor, qk: torch.Tensor, prior: torch.Tensor, rows: Any = (0, 1, 2)
) -> torch.Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for i in rows:
        pairs = []
        for j, k in itertools.product(range(3), range(2)):
            z = torch.eye(3, dtype=torch.float64)[j]
            log_q = q[i].log_softmax(-1)[j] + (z[:2] * qk[0]).log_softmax(-1)[k]
            prior_k = (z[:2] * tensor(0.5, 0.9)).log_softmax(-1)[k]
            loc = (z @ CENTRES) * (1.0 + SHIFTS[k])
            log_p = prior[0].log_softmax(-1)[j] + prior_k + normal(DATA[i], loc, 0.7)
            pairs.append((log_q, log_p))
        total = total + SIZE / len(rows) * expectation(pairs)
    return total


PLATE = Case(
    "subsampled plate",
    {
        "q": tensor([0.5, -0.3, 0.1], [0.0, 0.7, -0.6], [0.2, 0.2, -0.9]),
        "qk": tensor([0.7, -0.4]),
        "prior": tensor([0.3, 0.0, -0.2]),
    },
    plate_program,
    plate_exact,
    depth=2,
    subsampled=True,
    infer={"k": {"estimator": "score"}},
)


# Guide and model share a parameter; the guide's site is masked and scaled.

MASK = torch.tensor([True, True, False, True])


def shared_program(param: Any, infer: Any) -> Any:
    def model() -> None:
        theta = param("theta")
        with pyro.plate("inner", 4, dim=-1), poutine.mask(mask=MASK):
            b = pyro.sample("b", dist.Bernoulli(logits=theta))
            loc = b * theta[..., :1] - 0.5 * b
            pyro.sample("x", dist.Normal(loc, 0.8), obs=torch.full(loc.shape, 0.7).to(loc))

    def guide() -> None:
        with pyro.plate("inner", 4, dim=-1), poutine.mask(mask=MASK), poutine.scale(scale=1.5):
            probs = torch.sigmoid(1.4 * param("theta") + param("q"))
            pyro.sample("b", dist.Bernoulli(probs), infer=infer.get("b", {}))

    return model, guide


def shared_exact(theta: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    logits = 1.4 * theta + q
    total = torch.zeros((), dtype=torch.float64)
    for i in range(4):
        for b in (0.0, 1.0):
            log_q = b * logits[i] - softplus(logits[i])
            log_p = b * theta[i] - softplus(theta[i])
            log_p = log_p + normal(0.7, b * theta[0] - 0.5 * b, 0.8)
            total = total - MASK[i] * log_q.exp() * (log_p - 1.5 * log_q)
    return total


SHARED = Case(
    "shared",
    {"theta": tensor(0.6, -0.5, 0.9, 1.2), "q": tensor(-0.4, 0.3, 0.1, -0.9)},
    shared_program,
    shared_exact,
)

ALL = (VECTOR, TWO_LEVELS, THREE_LEVELS, PLATE, SHARED, MASKED)
CASES = {case.name: case for case in ALL}
