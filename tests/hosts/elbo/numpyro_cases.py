"""Small NumPyro programs whose bound is known exactly, to check unbiasedness against.

Each exact bound is written out by hand: discrete values are enumerated, a normal is integrated by
Gauss-Hermite quadrature. Nothing here uses relaxppl but the one-hot distribution that NumPyro
lacks.
"""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.nn import log_softmax
from numpyro import handlers

import relaxppl.numpyro as rx
from tests.hosts.elbo.numpyro_case import Case, Params, bits, expectation, mass, normal, param

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

CASES = {c.name: c for c in (VECTOR, TWO_LEVELS, THREE_LEVELS, PLATE, SHARED)}
