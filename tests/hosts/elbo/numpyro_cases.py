"""Small NumPyro programs whose bound is known exactly, to check unbiasedness against.

Each exact bound is written out by hand: discrete values are enumerated, a normal is integrated by
Gauss-Hermite quadrature. Nothing here uses relaxppl but the one-hot distribution that NumPyro
lacks.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.nn import log_softmax, softplus
from numpyro import handlers

import relaxppl.numpyro as rx

Params = dict[str, Any]


@dataclass
class Case:
    """A program, its parameters, its exact negative bound."""

    name: str
    params: dict[str, Any]
    model: Callable[[], None]
    guide: Callable[..., None]
    """Takes the infer dict of each site, by name."""
    exact: Callable[[Params], jax.Array]
    depth: int = 1
    """Levels of discrete sites."""
    infer: dict[str, dict[str, str]] = field(default_factory=dict)
    """Sites that REBAR cannot run at, and what runs there."""
    _gradient: list[Any] = field(default_factory=list)

    def values(self) -> Params:
        return {n: jnp.asarray(v, dtype=jnp.result_type(float)) for n, v in self.params.items()}

    def gradient(self) -> tuple[jax.Array, Params]:
        """Returns the exact negative bound and its gradient."""
        if not self._gradient:
            self._gradient.append(jax.jit(jax.value_and_grad(self.exact))(self.values()))
        return self._gradient[0]


def param(name: str, like: Any) -> jax.Array:
    return numpyro.param(name, jnp.asarray(like, dtype=jnp.result_type(float)))


def bits(size: int) -> list[jax.Array]:
    return [jnp.array(b) for b in itertools.product((0.0, 1.0), repeat=size)]


def mass(logits: Any, b: Any) -> Any:
    return b * logits - softplus(logits)


def normal(x: Any, loc: Any, scale: float) -> Any:
    return -0.5 * ((x - loc) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)


def expectation(weighted: list[tuple[Any, Any]]) -> jax.Array:
    """Returns -sum q (log p - log q) of pairs (log q, log p)."""
    return -sum(jnp.exp(log_q) * (log_p - log_q) for log_q, log_p in weighted)


# One vector of Bernoullis that do not factorise in the cost.

MIX = np.array([[0.9, -0.7], [0.4, 1.1], [-1.2, 0.3]])
VECTOR_PARAMS = {"q": [0.4, -0.8, 1.0], "prior": [-0.5, 0.2, 0.3], "slope": 0.8}


def curve(b: Any) -> Any:
    return jnp.sum(jnp.tanh(b @ MIX), -1) + 1.5 * b[..., 0] * b[..., -1]


def vector_model() -> None:
    b = numpyro.sample("b", dist.Bernoulli(logits=param("prior", [0] * 3)).to_event(1))
    numpyro.sample("x", dist.Normal(curve(b) * param("slope", 0), 0.6), obs=1.3)


def vector_guide(infer: Any = ()) -> None:
    q = dist.Bernoulli(logits=param("q", VECTOR_PARAMS["q"])).to_event(1)
    numpyro.sample("b", q, infer=dict(infer).get("b"))


def vector_exact(p: Params) -> jax.Array:
    rows = []
    for b in bits(3):
        log_p = mass(p["prior"], b).sum() + normal(1.3, curve(b) * p["slope"], 0.6)
        rows.append((mass(p["q"], b).sum(), log_p))
    return expectation(rows)


VECTOR = Case("vector", VECTOR_PARAMS, vector_model, vector_guide, vector_exact)


# Two levels: the logits of b, in a plate, depend on the vector a.

TWO_PARAMS = {"qa": [0.3, -0.5], "weight": [1.1, -0.8], "prior": [0.1, 0.4]}


def two_logits(a: Any, weight: Any) -> Any:
    return (2.0 * a[0] - a[1] - 0.3) * weight


def two_loc(a: Any, b: Any) -> Any:
    return a[0] * b[0] - 0.7 * a[1] * b[1] + jnp.sin(jnp.sum(b) + a[1])


def two_model() -> None:
    a = numpyro.sample("a", dist.Bernoulli(logits=param("prior", [0, 0])).to_event(1))
    with numpyro.plate("inner", 2):
        b = numpyro.sample("b", dist.Bernoulli(logits=0.5 * a[0] - 0.2))
    numpyro.sample("x", dist.Normal(two_loc(a, b), 0.5), obs=1.1)


def two_guide(infer: Any = ()) -> None:
    q = dist.Bernoulli(logits=param("qa", TWO_PARAMS["qa"])).to_event(1)
    a = numpyro.sample("a", q, infer=dict(infer).get("a"))
    logits = two_logits(a, param("weight", TWO_PARAMS["weight"]))
    with numpyro.plate("inner", 2):
        numpyro.sample("b", dist.Bernoulli(logits=logits), infer=dict(infer).get("b"))


def two_exact(p: Params) -> jax.Array:
    rows = []
    for a, b in itertools.product(bits(2), bits(2)):
        log_q = mass(p["qa"], a).sum() + mass(two_logits(a, p["weight"]), b).sum()
        log_p = mass(p["prior"], a).sum() + mass(0.5 * a[0] - 0.2, b).sum()
        rows.append((log_q, log_p + normal(1.1, two_loc(a, b), 0.5)))
    return expectation(rows)


TWO_LEVELS = Case("two levels", TWO_PARAMS, two_model, two_guide, two_exact, depth=2)


# Three levels a, b, c with normals before a, between a and b, and after c.

THREE_PARAMS = {
    "qu": 0.4, "qa": -0.3, "qy": 0.9, "qb": 0.8, "qc": 1.2, "qv": 0.7, "mean": -0.6,
}  # fmt: skip


def three_loc(a: Any, b: Any, c: Any, y: Any) -> Any:
    return a * c + 0.8 * b * (1 - c) - 0.9 * a * b + 0.3 * y * b


def three_model() -> None:
    u = numpyro.sample("u", dist.Normal(param("mean", 0), 1.0))
    a = numpyro.sample("a", dist.Bernoulli(logits=0.5 * u))
    y = numpyro.sample("y", dist.Normal(a - 0.4, 1.0))
    b = numpyro.sample("b", dist.Bernoulli(logits=0.3 * y))
    c = numpyro.sample("c", dist.Bernoulli(logits=0.8 * b - 0.5))
    numpyro.deterministic("sum", a + b + c)
    v = numpyro.sample("v", dist.Normal(0.5 * c, 0.8))
    numpyro.sample("x", dist.Normal(three_loc(a, b, c, y) + 0.5 * v, 0.6), obs=0.9)


def three_guide(infer: Any = ()) -> None:
    infer = dict(infer)
    u = numpyro.sample("u", dist.Normal(param("qu", 0.4), 0.7))
    logits = param("qa", -0.3) + 0.6 * u
    a = numpyro.sample("a", dist.Bernoulli(logits=logits), infer=infer.get("a"))
    y = numpyro.sample("y", dist.Normal(param("qy", 0.9) * (1.5 * a - 0.5), 0.5))
    logits = param("qb", 0.8) * y + 0.4 * a
    b = numpyro.sample("b", dist.Bernoulli(logits=logits), infer=infer.get("b"))
    logits = param("qc", 1.2) * (b - 0.4) + 0.3 * y
    c = numpyro.sample("c", dist.Bernoulli(logits=logits), infer=infer.get("c"))
    numpyro.sample("v", dist.Normal(param("qv", 0.7) * (c - b), 0.4))


def three_exact(p: Params) -> jax.Array:
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    weights = weights / weights.sum()
    # v enters the log densities as a polynomial of degree two: three nodes are exact.
    nodes_v, weights_v = np.polynomial.hermite_e.hermegauss(3)
    weights_v = weights_v / weights_v.sum()
    u = p["qu"] + 0.7 * nodes[:, None, None]
    weight = weights[:, None, None] * weights[None, :, None] * weights_v[None, None, :]
    total = 0.0
    for a, b, c in itertools.product((0.0, 1.0), repeat=3):
        loc_y, loc_v = p["qy"] * (1.5 * a - 0.5), p["qv"] * (c - b)
        y = loc_y + 0.5 * nodes[None, :, None]
        v = loc_v + 0.4 * nodes_v[None, None, :]
        log_q = mass(p["qa"] + 0.6 * u, a) + mass(p["qb"] * y + 0.4 * a, b)
        log_q = log_q + mass(p["qc"] * (b - 0.4) + 0.3 * y, c)
        continuous = normal(u, p["qu"], 0.7) + normal(y, loc_y, 0.5) + normal(v, loc_v, 0.4)
        log_p = normal(u, p["mean"], 1.0) + mass(0.5 * u, a) + normal(y, a - 0.4, 1.0)
        log_p = log_p + mass(0.3 * y, b) + mass(0.8 * b - 0.5, c) + normal(v, 0.5 * c, 0.8)
        log_p = log_p + normal(0.9, three_loc(a, b, c, y) + 0.5 * v, 0.6)
        total = total - jnp.sum(weight * jnp.exp(log_q) * (log_p - log_q - continuous))
    return total


THREE_LEVELS = Case("three levels", THREE_PARAMS, three_model, three_guide, three_exact, depth=3)


# A one-hot, and an integer categorical that depends on it, under a subsampled plate.

SIZE, BATCH = 3, 2
DATA, CENTRES = np.array([1.2, -0.4, 0.6]), np.array([1.0, -0.8, 0.3])
SHIFTS, LINK = np.array([0.5, -0.5]), np.array([[0.5, 0.0], [0.0, 0.9]])
PLATE_PARAMS = {
    "q": [[0.5, -0.3, 0.1], [0.0, 0.7, -0.6], [0.2, 0.2, -0.9]],
    "qk": [0.7, -0.4],
    "prior": [0.3, 0.0, -0.2],
}


def plate_model() -> None:
    prior = param("prior", [0] * 3)
    with numpyro.plate("data", SIZE, subsample_size=BATCH) as rows:
        z = numpyro.sample("z", rx.OneHotCategorical(logits=prior))
        k = numpyro.sample("k", dist.Categorical(logits=z[..., :2] @ LINK))
        loc = (z @ CENTRES) * (1.0 + jnp.asarray(SHIFTS)[k])
        numpyro.sample("x", dist.Normal(loc, 0.7), obs=jnp.asarray(DATA)[rows])


def plate_guide(infer: Any = ()) -> None:
    q, qk = param("q", PLATE_PARAMS["q"]), param("qk", PLATE_PARAMS["qk"])
    with numpyro.plate("data", SIZE, subsample_size=BATCH) as rows:
        # Unnormalised logits: nothing may rely on a caller's normalisation.
        logits = q[rows] + 1.5
        z = numpyro.sample("z", rx.OneHotCategorical(logits=logits), infer=dict(infer).get("z"))
        k = dist.Categorical(logits=z[..., :2] * qk)
        numpyro.sample("k", k, infer=dict(infer).get("k"))


def plate_exact(p: Params) -> jax.Array:
    total = 0.0
    for i in range(SIZE):
        rows = []
        for j, k in itertools.product(range(3), range(2)):
            z = jnp.eye(3)[j]
            log_q = log_softmax(p["q"][i])[j] + log_softmax(z[:2] * p["qk"])[k]
            loc = (z @ CENTRES) * (1.0 + SHIFTS[k])
            log_p = log_softmax(p["prior"])[j] + log_softmax(z[:2] @ LINK)[k]
            rows.append((log_q, log_p + normal(DATA[i], loc, 0.7)))
        total = total + expectation(rows)
    return total


PLATE = Case(
    "subsampled plate",
    PLATE_PARAMS,
    plate_model,
    plate_guide,
    plate_exact,
    infer={"k": {"estimator": "disarm"}},
)


# Guide and model share a parameter; the guide's site is masked and scaled.

MASK = np.array([True, True, False, True])
SHARED_PARAMS = {"theta": [0.6, -0.5, 0.9, 1.2], "q": [-0.4, 0.3, 0.1, -0.9]}


def shared_model() -> None:
    theta = param("theta", SHARED_PARAMS["theta"])
    with numpyro.plate("inner", 4), handlers.mask(mask=MASK):
        b = numpyro.sample("b", dist.Bernoulli(logits=theta))
        loc = b * theta[0] - 0.5 * b
        numpyro.sample("x", dist.Normal(loc, 0.8), obs=jnp.full(4, 0.7))


def shared_guide(infer: Any = ()) -> None:
    theta, q = param("theta", SHARED_PARAMS["theta"]), param("q", SHARED_PARAMS["q"])
    with numpyro.plate("inner", 4), handlers.mask(mask=MASK), handlers.scale(scale=1.5):
        probs = jax.nn.sigmoid(1.4 * theta + q)
        numpyro.sample("b", dist.Bernoulli(probs), infer=dict(infer).get("b"))


def shared_exact(p: Params) -> jax.Array:
    total = 0.0
    for i, b in itertools.product(range(4), (0.0, 1.0)):
        log_q = mass(1.4 * p["theta"][i] + p["q"][i], b)
        loc = b * p["theta"][0] - 0.5 * b
        log_p = mass(p["theta"][i], b) + normal(0.7, loc, 0.8)
        total = total - MASK[i] * jnp.exp(log_q) * (log_p - 1.5 * log_q)
    return total


SHARED = Case("shared", SHARED_PARAMS, shared_model, shared_guide, shared_exact)


# Two plates of one length at one dimension: what lies in the second sees the first in reverse.

REVERSED_PARAMS = {"q": [0.5, -0.7, 0.2]}
REVERSED_DATA = np.array([1.5, -0.3, 0.8])


def reversed_loc(b: Any) -> Any:
    return 1.2 * b[..., ::-1] * np.array([1.0, -1.0, 2.0])


def reversed_model() -> None:
    with numpyro.plate("drawn", 3):
        b = numpyro.sample("b", dist.Bernoulli(logits=0.3 * jnp.ones(3)))
    with numpyro.plate("seen", 3):
        numpyro.sample("x", dist.Normal(reversed_loc(b), 0.6), obs=jnp.asarray(REVERSED_DATA))


def reversed_guide(infer: Any = ()) -> None:
    with numpyro.plate("drawn", 3):
        q = dist.Bernoulli(logits=param("q", REVERSED_PARAMS["q"]))
        numpyro.sample("b", q, infer=dict(infer).get("b"))


def reversed_exact(p: Params) -> jax.Array:
    rows = []
    for b in bits(3):
        log_p = mass(0.3, b).sum() + normal(REVERSED_DATA, reversed_loc(b), 0.6).sum()
        rows.append((mass(p["q"], b).sum(), log_p))
    return expectation(rows)


TWO_PLATES = Case("two plates", REVERSED_PARAMS, reversed_model, reversed_guide, reversed_exact)


# A Poisson masked in one of two elements, and what sees both of them unmasked.

MASKED_PARAMS = {"rate": [0.4, -0.3]}


def masked_model() -> None:
    with numpyro.plate("rows", 2):
        with handlers.mask(mask=np.array([True, False])):
            n = numpyro.sample("n", dist.Poisson(1.3))
        numpyro.sample("x", dist.Normal(jnp.sin(n), 0.5), obs=jnp.array([0.4, 0.9]))


def masked_guide(infer: Any = ()) -> None:
    with numpyro.plate("rows", 2), handlers.mask(mask=np.array([True, False])):
        rate = jnp.exp(param("rate", MASKED_PARAMS["rate"]))
        numpyro.sample("n", dist.Poisson(rate), infer=dict(infer).get("n"))


def masked_exact(p: Params) -> jax.Array:
    n = jnp.arange(40.0)
    log_factorial = jax.lax.lgamma(n + 1.0)
    total = 0.0
    for i, (mask, x) in enumerate([(1.0, 0.4), (0.0, 0.9)]):
        log_q = n * p["rate"][i] - jnp.exp(p["rate"][i]) - log_factorial
        log_p = n * np.log(1.3) - 1.3 - log_factorial
        cost = mask * (log_p - log_q) + normal(x, jnp.sin(n), 0.5)
        total = total - jnp.sum(jnp.exp(log_q) * cost)
    return total


MASKED_COUNTS = Case("masked counts", MASKED_PARAMS, masked_model, masked_guide, masked_exact)


# What the guide makes of a value beside its other draws: a tensor that it leaves the model, and the
# weight of another site's densities.

BESIDE_PARAMS = {"qa": 0.4, "qb": -0.3}
LEFT: dict[str, Any] = {}


def beside_model() -> None:
    a = numpyro.sample("a", dist.Bernoulli(0.3))
    with handlers.scale(scale=1.0 + a):
        b = numpyro.sample("b", dist.Bernoulli(0.6))
    numpyro.sample("x", dist.Normal(LEFT["loc"] + b, 0.8), obs=1.1)


def beside_guide(infer: Any = ()) -> None:
    logits = param("qa", 0.4)
    a = numpyro.sample("a", dist.Bernoulli(logits=logits), infer=dict(infer).get("a"))
    LEFT["loc"] = 2.0 * a - 0.5
    with handlers.scale(scale=1.0 + a):
        logits = param("qb", -0.3)
        numpyro.sample("b", dist.Bernoulli(logits=logits), infer=dict(infer).get("b"))


def beside_exact(p: Params) -> jax.Array:
    total = jnp.zeros(())
    for a, b in itertools.product((0.0, 1.0), repeat=2):
        log_a, log_b = mass(p["qa"], a), mass(p["qb"], b)
        kl = log_a - np.log(0.3 if a else 0.7) + (1 + a) * (log_b - np.log(0.6 if b else 0.4))
        loss = kl - normal(1.1, 2.0 * a - 0.5 + b, 0.8)
        total = total + jnp.exp(log_a + log_b) * loss
    return total


BESIDE = Case("beside", BESIDE_PARAMS, beside_model, beside_guide, beside_exact)


# Counts: a binomial, and a Poisson whose rate depends on it.

COUNTS_PARAMS = {"q": 0.3, "rate": 0.2, "prior": -0.4}


def counts_model() -> None:
    n = numpyro.sample("n", dist.Binomial(3, logits=param("prior", 0)))
    k = numpyro.sample("k", dist.Poisson(1.5))
    numpyro.sample("x", dist.Normal(0.6 * n - 0.4 * k, 1.0), obs=0.8)


def counts_guide(infer: Any = ()) -> None:
    q = dist.Binomial(3, logits=param("q", 0.3))
    n = numpyro.sample("n", q, infer=dict(infer).get("n"))
    rate = jnp.exp(param("rate", 0.2) + 0.2 * n)
    numpyro.sample("k", dist.Poisson(rate), infer=dict(infer).get("k"))


def counts_exact(p: Params) -> jax.Array:
    def binomial(logits: Any, n: Any) -> Any:
        return np.log([[1], [3], [3], [1]]) + n * logits - 3 * softplus(logits)

    def poisson(log_rate: Any, k: Any) -> Any:
        return k * log_rate - jnp.exp(log_rate) - np.cumsum(np.log(np.maximum(k, 1.0)))

    n, k = np.arange(4.0)[:, None], np.arange(30.0)
    log_q = binomial(p["q"], n) + poisson(p["rate"] + 0.2 * n, k)
    log_p = binomial(p["prior"], n) + poisson(np.log(1.5), k)
    return jnp.sum(expectation([(log_q, log_p + normal(0.8, 0.6 * n - 0.4 * k, 1.0))]))


COUNTS = Case("counts", COUNTS_PARAMS, counts_model, counts_guide, counts_exact)

CASES = {c.name: c for c in (VECTOR, TWO_LEVELS, THREE_LEVELS, PLATE, SHARED)}
